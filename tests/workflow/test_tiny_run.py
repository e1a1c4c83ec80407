"""The one end-to-end run: Tab. 1 and Fig. 2 at reduced counts, and what must hold of its files. Takes minutes."""

from __future__ import annotations

import re
import shlex
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.workflow.study import FIGURE, IMAGES, PROMPTS, SAMPLES, TABLE, TARGETS, TINY, Study, jobs_of
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.shards import Part

RESULTS, MODELS = "results/tiny", "config/models.yaml"
COLUMNS = ["table", "row", "column", "paper", "ours", "ci_low", "ci_high", "n", "verdict", "run", "command"]
METRICS = ["fid", "kid", "imagereward", "pickscore", "hps", "clipscore", "scene_accuracy", "crispness"]
ROWS = ["Base-model", "DiffusionDPO", "Ours-RM@10", "Ours-SFT", "Ours-DPO (round 1)", "Ours-DPO"]
DISTANCES = 2  # Inception's and CLIP's class
AFTER_METRICS = {"compute_metrics": 9, "make_table": 1, "plot_ranks": 1, "ganrm_tab1": 1, "ganrm_fig2": 1}


ANOTHER = {"value": 1e-7, "assumed": "another value, for a test"}
ANOTHER_COUNT = {"value": IMAGES - 1, "assumed": "another value, for a test"}


def runs_of(scale: dict) -> dict:
    """What the scale changes of every training."""
    return scale["overrides"]["runs"]["training"]


def rewards_of(scale: dict) -> dict:
    """What the scale changes of every reward."""
    return scale["overrides"]["rewards"]


@pytest.fixture(scope="module")
def table(finished: Study) -> pd.DataFrame:
    return pd.read_csv(finished.root / RESULTS / "tables/ganrm_tab1.csv")


def commands(finished: Study, verb: str) -> list[dict[str, list[str]]]:
    """Options of every command line of a verb that the run printed."""
    lines = re.findall(rf"python -m workflow_scripts\.{verb} (.+) > \S+ 2>&1", finished.log)
    return [_options(shlex.split(line)) for line in lines]


def _options(words: list[str]) -> dict[str, list[str]]:
    options: dict[str, list[str]] = {}
    for word in words:
        if re.match(r"--[a-z]", word):
            values = options.setdefault(word, [])
        else:
            values.append(word)
    return options


def test_the_table_in_long_form(table):
    assert set(COLUMNS) <= set(table.columns)
    assert list(dict.fromkeys(table["row"])) == ROWS
    assert list(table["column"]) == METRICS * len(ROWS)
    assert table[["ours", "ci_low", "ci_high"]].notna().all(axis=None)
    assert (table["ci_low"] <= table["ci_high"]).all()
    assert (table["n"] == IMAGES).all()
    assert table["verdict"].notna().all() and (table["verdict"] == "baseline").sum() == len(METRICS)
    papers = {row.column: row.paper for row in table[table["row"] == "Base-model"].itertuples()}
    assert papers["fid"] == 72.06 and papers["clipscore"] == 0.698 and pd.isna(papers["crispness"])


def test_its_values_are_those_of_the_metrics_files_and_its_commands_make_them(finished, table):
    for row in table.itertuples():
        path = f"{RESULTS}/metrics/{row.run}/eval/{row.selection}.json"
        assert read_json(finished.root / path)["metrics"][row.column]["value"] == row.ours
        assert row.command == f"snakemake {path}"


def test_markdown_and_latex_show_every_row(finished):
    markdown, latex = (
        (finished.root / RESULTS / f"tables/ganrm_tab1.{suffix}").read_text() for suffix in ("md", "tex")
    )
    for row in ROWS:
        assert re.search(rf"^\|.*\| {re.escape(row)} \|", markdown, re.MULTILINE)
        assert f"& {row} &" in latex
    assert "never compared with the paper" in markdown
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1


@pytest.mark.parametrize("name", ["figures/ganrm_fig2.png", "figures/ganrm_fig3.png"])
def test_pictures_show_something(finished, name):
    with Image.open(finished.root / RESULTS / name) as picture:
        assert min(picture.size) > 300
        assert len(picture.convert("L").getcolors()) > 50


def test_the_figure_is_a_pdf_too(finished):
    assert (finished.root / RESULTS / "figures/ganrm_fig2.pdf").read_bytes().startswith(b"%PDF-")


def test_each_image_was_encoded_once_by_each_encoder(finished):
    encoded = Counter(
        (options["--encoder"][0], options["--images"][0], row.key)
        for options in commands(finished, "encode_images")
        for row in Part(finished.root / options["--images"][0]).index().itertuples()
    )
    assert set(encoded.values()) == {1}
    rows = {path: len_features(path) for path in (finished.root / RESULTS / "features").rglob("*.safetensors")}
    negatives, pools, samples = 3 * IMAGES, 3 * PROMPTS, 3 * PROMPTS * SAMPLES
    ranked, others = IMAGES * SAMPLES, 4 * IMAGES
    assert Counter(encoder for encoder, *_ in encoded) == {
        "tiny_clip_tokens": IMAGES + negatives + pools + samples + ranked,
        "tiny_extractor": IMAGES + ranked + others,
        "tiny_clip_embeddings": IMAGES + ranked + others,
    }
    assert sum(rows.values()) == len(encoded)


def len_features(path: Path) -> int:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        return file.get_slice("features").get_shape()[0]


def test_each_image_was_scored_once_by_each_scorer_and_sampled_once(finished):
    scored = Counter((o["--scorer"][0], o["--images"][0]) for o in commands(finished, "score_images"))
    sampled = Counter((o["--out"][0]) for o in commands(finished, "sample_images"))
    assert set(scored.values()) == set(sampled.values()) == {1}
    assert len(scored) == 5 * 5 and len(sampled) == 3 + 3 + 3 + 5
    seeds = [
        seed
        for out in sampled
        for seed in Part(finished.root / out).index()["seed"]
        if "/eval/" not in out  # evaluation noise is the same for every policy, on purpose
    ]
    assert len(set(seeds)) == len(seeds)


def test_policies_are_compared_on_the_same_prompts_and_noise(finished):
    policies = ["sd15_diffusiondpo.r1", "sd15_sft.r1", "sd15_dpo.r1", "sd15_dpo.r3"]
    base = Part(finished.root / RESULTS / "samples/sd15/eval/part0.json").index().query("k == 0")
    for policy in policies:
        index = Part(finished.root / RESULTS / f"samples/{policy}/eval/part0.json").index()
        assert index[["key", "prompt", "seed"]].values.tolist() == base[["key", "prompt", "seed"]].values.tolist()


def test_sdxl_goes_through_the_same_rules(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    target = f"{RESULTS}/metrics/sdxl_dpo.r1/eval/first.json"
    jobs = jobs_of(study.snakemake(target).stdout)
    assert (jobs["sample_images"], jobs["train_reward"], jobs["train_dpo"], jobs["compute_metrics"]) == (4, 1, 1, 1)
    assert "import_images" not in jobs  # proxies and references have the size of SD1.5's
    assert read_json(study.root / target)["policy"] == "sdxl_dpo.r1"


def test_table_and_figure_quote_the_same_files(finished):
    quoted = [set(commands(finished, verb)[0]["--metrics"]) for verb in ("make_table", "plot_ranks")]
    assert {
        f"{RESULTS}/metrics/sd15/eval/first.json",
        f"{RESULTS}/metrics/sd15_diffusiondpo.r1/eval/first.json",
    } == set.intersection(*quoted)


def test_a_second_table_agrees_with_the_first_and_costs_one_job(finished, table, tmp_path):
    study = finished.copy(tmp_path / "study")
    again = yaml.safe_load((study.root / TABLE).read_text())
    kept = ["Base-model", "Ours-DPO (round 1)", "Ours-DPO"]
    again["rows"] = [row for row in again["rows"] if row["row"] in kept]
    (study.root / "config/tables/again.yaml").write_text(yaml.safe_dump(again))
    done = study.snakemake(f"{RESULTS}/tables/again.csv")
    assert jobs_of(done.stdout) == {"make_table": 1, "total": 1}
    second = pd.read_csv(study.root / RESULTS / "tables/again.csv")
    first = table[table["row"].isin(kept)].reset_index(drop=True)
    shared = [column for column in table.columns if column != "table"]
    pd.testing.assert_frame_equal(second[shared], first[shared])


def test_sizes_and_candidates_are_compared_without_another_image_of_the_pool(finished):
    jobs, policies = finished.dry_run("ganrm_tab7", "ganrm_tab8"), 8
    expected = {"sample_images": policies, "encode_images": DISTANCES * policies, "train_reward": 2}
    assert {rule: jobs[rule] for rule in expected} == expected
    assert not {"make_prompts", "import_images"} & jobs.keys()


def test_a_second_run_has_nothing_to_do_within_seconds(finished):
    before, start = finished.states(RESULTS), time.monotonic()
    done = finished.snakemake(*TARGETS)
    assert "Nothing to be done" in done.stdout
    assert time.monotonic() - start < 30
    assert finished.states(RESULTS) == before


def test_an_edited_comment_reruns_nothing_and_edited_code_what_depends_on_it(finished, tmp_path):
    study, module = finished.copy(tmp_path / "study"), "workflow_scripts/lib/metrics/fid.py"
    study.replace(module, "SHARE_OF_DISTINCT = 0.64", "# A thought.\nSHARE_OF_DISTINCT  =  0.64")
    assert study.dry_run(*TARGETS) == {}
    study.replace(module, "SHARE_OF_DISTINCT  =  0.64", "SHARE_OF_DISTINCT = 0.65")
    jobs = study.dry_run(*TARGETS)
    assert jobs == AFTER_METRICS | {"total": sum(AFTER_METRICS.values())}


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        (FIGURE, lambda figure: figure["columns"].pop(), {"plot_ranks"}),
        (TABLE, lambda table: table.update(title="Another title"), {"make_table"}),
        (
            MODELS,
            lambda models: models["tiny_extractor"].update(sha256={}),
            {"encode_images", *AFTER_METRICS} - {*TARGETS},
        ),
        (MODELS, lambda models: models["tiny_extractor"].update(title="Another title"), set()),
    ],
    ids=["column of the figure", "title of the table", "weights of a model", "title of a model"],
)
def test_an_edit_of_the_configuration_reruns_what_it_changes(finished, tmp_path, file, change, expected):
    study = finished.copy(tmp_path / "study")
    study.edit(file, change)
    assert study.dry_run(*TARGETS).keys() - {*TARGETS, "total"} == expected


@pytest.mark.parametrize(
    ("file", "change", "first", "kept"),
    [
        (
            MODELS,
            lambda models: models["tiny_sd15"]["sampling"]["guidance_scale"].update(value=2.5),
            "sample_images",
            set(),
        ),
        (TINY, lambda scale: runs_of(scale).update(adam_epsilon=ANOTHER), "train_sft", {"import_images"}),
        (TINY, lambda scale: runs_of(scale).update(adam_epsilon=ANOTHER), "train_dpo", {"import_images"}),
        (TINY, lambda scale: rewards_of(scale).update(num_proxies=ANOTHER_COUNT), "train_reward", {"import_images"}),
    ],
    ids=["sampler", "SFT", "DPO", "reward"],
)
def test_an_edited_setting_repeats_the_step_that_it_belongs_to(finished, tmp_path, file, change, first, kept):
    study = finished.copy(tmp_path / "study")
    study.edit(file, change)
    jobs = study.dry_run(*TARGETS).keys()
    assert first in jobs and not jobs & kept


def test_jobs_leave_a_log_and_a_benchmark_each(finished):
    results = finished.root / RESULTS
    done = sum(count for rule, count in jobs_of(finished.log).items() if rule not in (*TARGETS, "total"))
    assert sum(path.is_file() for path in (results / "logs").rglob("*.log")) == done
    without = {"make_table", "make_sheet", "plot_ranks"}
    assert sum(path.is_file() for path in (results / "benchmarks").rglob("*.jsonl")) == done - len(without)
