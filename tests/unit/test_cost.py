"""What a plan costs: counted FLOPs against hand-computed ones, hours of made-up jobs, downloads, tables."""

from __future__ import annotations

import copy
import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from workflow_scripts import plan_cost
from workflow_scripts.lib.cost.disk import bytes_written
from workflow_scripts.lib.cost.estimate import ESTIMATED, MEASURED, UNKNOWN, costs_of
from workflow_scripts.lib.cost.graph import Graph
from workflow_scripts.lib.cost.measured import seconds_of
from workflow_scripts.lib.cost.numbers import Numbers, load_numbers
from workflow_scripts.lib.cost.plan import TOTAL, plan, targets_of
from workflow_scripts.lib.cost.report import cells, terminal
from workflow_scripts.lib.cost.sources import downloads, sources_of
from workflow_scripts.lib.cost.work import Worker
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.jobs import Job
from workflow_scripts.lib.spec import load_config

REPOSITORY = Path(__file__).resolve().parents[2]
START, SHARE = 60, 0.5


@pytest.fixture(scope="module")
def config():
    return load_config(REPOSITORY / "config")


@pytest.fixture(scope="module")
def real() -> Numbers:
    return load_numbers(REPOSITORY / "config", "h100")


@pytest.fixture
def numbers(real) -> Numbers:
    """Easy ones: a GPU of one FLOP a second, half of which is reached; a denoiser of ten."""
    rates = dict.fromkeys(("sampling", "training", "judging"), {"default": {"share": SHARE}})
    generator = {"denoiser": 10, "trained_full": 30, "trained_lora": 22, "text": 1, "encode": 4, "decode": 5}
    generator |= {"parameters": 1000, "latent": 16}
    judge = {"image": 7, "text": 3, "features": 8}
    flops = {
        "generators": dict.fromkeys(("sd15", "sdxl", "sd3", "qwen_image"), generator),
        "judges": dict.fromkeys(("pickscore_v1", "dinov2_b14", "clip_vit_b32_tokens"), judge),
    }
    costs = real.costs | {"gpus": {"unit": {"title": "unit", "bf16_tflops": 1e-12}}, "rates": rates}
    return Numbers(costs, flops, "unit")


def job(rule: str, images: float = 0, *, wildcards=(), gpus=1, minutes=60, output=("0.out",), **about) -> Job:
    resources = {"gpu": gpus} | ({"runtime": minutes} if minutes else {})
    given = {"input": [], "output": list(output), "log": [], "benchmark": None, "threads": 1, "needed": True} | about
    return Job(rule, {"scale": "", **dict(wildcards)}, images=images, resources=resources, **given)


def sampling(policy: str, images: float = 100, **about) -> Job:
    return job("sample_images", images, wildcards={"policy": policy, "prompt_set": "eval", "part": "0"}, **about)


def cost(one: Job, config, numbers):
    return costs_of([one], config, numbers)[0]


# FLOPs


def test_flops_of_clip_are_those_of_its_layers(real):
    tokens, width, mlp, layers = 50, 768, 3072, 12
    layer = 2 * tokens * (4 * width**2 + 2 * width * mlp) + 4 * tokens**2 * width
    patches = 2 * 49 * width * 3 * 32**2
    assert real.flops["judges"]["clip_vit_b32_tokens"]["image"] == layers * layer + patches


def test_flops_of_generators_are_the_published_ones(real):
    """Multiply-adds of publications without attention (0.34 and 2.98 T), twice, are a lower bound."""
    found = {name: one["denoiser"] / 1e12 for name, one in real.flops["generators"].items()}
    assert 0.68 < found["sd15"] < 0.82
    assert 5.96 < found["sdxl"] < 6.9
    assert found["sd3"] == pytest.approx(2.224, abs=0.001)
    parameters = {name: one["parameters"] / 1e9 for name, one in real.flops["generators"].items()}
    assert parameters["sd15"] == pytest.approx(0.8595, abs=1e-4)  # the published counts
    assert parameters["sdxl"] == pytest.approx(2.567, abs=1e-3)
    assert parameters["qwen_image"] == pytest.approx(20.4, abs=0.1)


def test_a_full_training_pass_is_three_forward_passes_and_one_of_adapters_about_two(real):
    generators = real.flops["generators"]
    for name in ("sd15", "sdxl", "videocrafter2"):
        assert generators[name]["trained_full"] / generators[name]["denoiser"] == pytest.approx(3, abs=0.02)
    assert 2 < generators["sd3"]["trained_lora"] / generators["sd3"]["denoiser"] < 2.2


@pytest.mark.parametrize("name", ["clip_vit_b32_tokens", "imagereward_v1", "i3d_kinetics400", "lpips_alex"])
def test_the_file_of_flops_is_in_step_with_the_architectures(real, name):
    from workflow_scripts.lib.cost.flops import JUDGES, count_judge

    assert count_judge(JUDGES[name]) == real.flops["judges"][name], "run python -m workflow_scripts.count_flops"


def test_the_file_of_flops_is_in_step_with_sd15(real):
    from workflow_scripts.lib.cost.flops import GENERATORS, count_generator

    counted = count_generator(replace(GENERATORS["sd15"], trained=()))
    assert counted == {key: real.flops["generators"]["sd15"][key] for key in counted}


@pytest.mark.parametrize("scale", ["pilot", "paper"])
def test_every_model_of_a_scale_has_an_estimate(config, real, scale):
    from workflow_scripts.lib.cost.flops import GENERATORS, JUDGES

    assert real.flops["generators"].keys() == GENERATORS.keys() and real.flops["judges"].keys() == JUDGES.keys()
    worker, prefix = Worker(config, real), config.scale(scale).prefix
    for role, name in config.scale(scale).models.items():
        if config.is_model(role, scale):
            drawn = job("sample_images", 1, wildcards={"policy": role, "scale": prefix})
            assert worker.generator(drawn) in real.flops["generators"], role
        else:
            worker.judging(name)  # Unknown is an error


# hours


def test_sampling_costs_its_passes_under_guidance_and_the_decoding(config, numbers):
    found = cost(sampling("sd15"), config, numbers)
    flops = 100 * (50 * 2 * 10 + 5 + 2 * 1)  # 50 steps, with and without the prompt
    assert (found.gpu_seconds, found.basis) == (START + flops / SHARE, ESTIMATED)
    assert found.cpu_seconds == found.gpu_seconds


def test_a_trained_policy_and_a_checkpoint_cost_what_their_architecture_does(config, numbers):
    base = cost(sampling("sd15"), config, numbers)
    assert cost(sampling("sd15_dpo.r2"), config, numbers) == base
    assert cost(sampling("sd15_diffusiondpo"), config, numbers) == base
    assert cost(sampling("anime_generator"), config, numbers).basis == ESTIMATED  # Qwen-Image under another suffix


def test_dpo_adds_the_reference_and_checkpointing_a_forward_pass(config, numbers):
    found = {
        policy: cost(job(f"train_{kind}", 40, wildcards={"policy": policy}), config, numbers).gpu_seconds - START
        for policy, kind in (("sd15_sft.r1", "sft"), ("sd15_dpo.r1", "dpo"), ("sdxl_dpo.r1", "dpo"))
    }
    assert found == {"sd15_sft.r1": 40 * 30 / SHARE, "sd15_dpo.r1": 40 * 40 / SHARE, "sdxl_dpo.r1": 40 * 50 / SHARE}


def test_grpo_costs_rollouts_judges_and_updates(config, numbers):
    """78 generator epochs of 48 x 16 images, nine rollouts of the discriminator before each; no watcher is counted."""
    updated = 78 * 48 * 16
    images = 10 * updated
    learner = {"dino_similarity": {"image": 7, "text": 0, "features": 0}}
    numbers = replace(numbers, flops=numbers.flops | {"judges": numbers.flops["judges"] | learner})
    one = job("train_grpo", images, wildcards={"policy": "advgrpo_dino.r1"}, threads=8)
    rollouts = images * (10 * 2 * 10 + 5) + images / 16 * 1
    updates = updated * 2 * 2 * 22  # a window of two steps, under guidance
    judged = updated * 7 * 2  # PickScore and the similarity watch
    learned = updated * 7 * (1 + 2 * 9)  # it judges an image; each step sees an image and a reference
    expected = START + (rollouts + updates + judged + learned) / SHARE
    assert cost(one, config, numbers).gpu_seconds == pytest.approx(expected)


def test_a_reader_of_texts_makes_the_gpu_wait_for_its_threads(config, numbers):
    scored = {"scorer": "ocr", "collection": "samples/sd3/ocr_eval", "part": "0"}
    seconds = {
        threads: cost(job("score_images", 1000, wildcards=scored, threads=threads), config, numbers).gpu_seconds
        for threads in (1, 8)
    }
    assert seconds[1] == pytest.approx(START + 330)
    assert seconds[8] == pytest.approx(START + 330 / 8)


def test_reading_counts_where_it_takes_longer_than_the_network(config, real):
    scored = {"encoder": "clip_tokens", "collection": "samples/sdxl/eval", "part": "0"}
    found = cost(job("encode_images", 1000, wildcards=scored), config, real)
    assert found.gpu_seconds == pytest.approx(START + 1000 * 1.048576 * 0.03)


def test_the_published_rate_of_sdxl_comes_back(config, real):
    """arXiv 2506.13846: 128 GPU-hours for 200,000 images, apart from the start of the job."""
    found = cost(sampling("sdxl", 200_000), config, real)
    assert (found.gpu_seconds - START) / 3600 == pytest.approx(128, rel=0.03)


def test_a_network_without_counted_flops_is_named_and_not_guessed(config, numbers):
    scored = {"scorer": "hps", "collection": "samples/sd15/eval", "part": "0"}
    found = cost(job("score_images", 1000, wildcards=scored), config, numbers)
    assert (found.gpu_seconds, found.basis, found.lacking) == (0, UNKNOWN, "hps_v2")


def test_cpu_jobs_take_a_share_of_their_limit_and_local_ones_seconds(config, real):
    limited = cost(job("compute_metrics", gpus=0, minutes=60), config, real)
    local = cost(job("make_table", gpus=0, minutes=None), config, real)
    assert (limited.gpu_seconds, limited.cpu_seconds) == (0, pytest.approx(0.33 * 3600))
    assert local.cpu_seconds == 30


# measured


def test_finished_jobs_replace_estimates_of_those_that_do_the_same(config, numbers, tmp_path):
    files = [tmp_path / f"{i}.jsonl" for i in range(3)]
    for file, seconds in zip(files, (100, 300, 200), strict=True):
        file.write_text(json.dumps({"s": seconds, "cpu_time": 1}) + "\n")
    done = [sampling("sd15", 100, benchmark=str(file), needed=False) for file in files]
    waiting = [sampling("sd15_dpo.r1", 50), sampling("sdxl", 50)]
    found = costs_of([*done, *waiting], config, numbers)
    assert (found[3].basis, found[3].gpu_seconds) == (MEASURED, 50 * 200 / 100), "the median of three jobs"
    assert found[4].basis == ESTIMATED, "another architecture"


def test_a_damaged_benchmark_counts_as_none(tmp_path):
    (tmp_path / "a").write_text("{")
    (tmp_path / "b").write_text('{"s": 2.0}\n{"s": 4.0}\n')
    assert [seconds_of(tmp_path / name) for name in "abc"] == [None, 3.0, None]


# disk


def test_bytes_are_those_of_pixels_latents_weights_and_features(config, real):
    worker, small = Worker(config, real), 1_000_000
    sampled = bytes_written(sampling("sd15", 1000), worker) - small
    assert sampled == pytest.approx(1000 * (512 * 512 * 1.6 + 4 * 64 * 64 * 4))
    trained = bytes_written(job("train_dpo", 1, wildcards={"policy": "sd15_dpo.r1"}), worker) - small
    assert trained == 4 * 859_520_964
    encoded = {"encoder": "clip_tokens", "collection": "samples/sd15/eval"}
    assert bytes_written(job("encode_images", 10, wildcards=encoded), worker) - small == 10 * 1536 * 4


# plans


def test_planning_needs_no_torch():
    modules = ("estimate", "plan", "report", "sources")
    code = f"import sys; from workflow_scripts.lib.cost import {', '.join(modules)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_shared_jobs_count_once_together_and_done_ones_never(config, real):
    jobs = [
        sampling("sd15", 3600, output=["0.out"]),
        job("make_table", gpus=0, minutes=None, input=["0.out", "3.out"], output=["1.out"]),
        job("make_table", gpus=0, minutes=None, input=["0.out"], output=["2.out"]),
        sampling("sdxl", 1000, output=["3.out"], needed=False),
        job("one", gpus=0, input=["1.out"], output=[]),
        job("two", gpus=0, input=["2.out"], output=[]),
    ]
    graph = Graph(jobs)
    assert graph.needed_for("one") == {0, 1} and graph.needed_for("2.out") == {0, 2}
    rows = plan(["one", "two"], jobs, costs_of(jobs, config, real), config)
    assert [(row.target, row.jobs, row.gpu_jobs) for row in rows] == [("one", 2, 1), ("two", 2, 1), (TOTAL, 3, 1)]
    assert rows[2].gpu_hours == rows[0].gpu_hours == rows[1].gpu_hours > 0
    assert [line.split()[0] for line in terminal(rows, real, "paper").splitlines()[:4]] == [
        "target",
        "one",
        "two",
        TOTAL,
    ]


def test_downloads_count_a_source_once_with_bases_and_less_what_is_there(config, tmp_path):
    records = [f"results/downloads/models/{name}.json" for name in ("sd15_diffusiondpo", "sd15")]
    wanted = sources_of(sampling("sd15_diffusiondpo", input=["results/prompts/eval.parquet", *records]))
    assert wanted == {("models", "sd15_diffusiondpo"), ("models", "sd15")}
    clips = {("models", "clip_vit_b32_tokens"), ("models", "clip_vit_b32_score")}  # one checkpoint
    assert downloads(config, wanted | clips, tmp_path).gigabytes == pytest.approx(4.3 + 3.44 + 0.6)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/sd15.json").write_text("{}")
    assert downloads(config, wanted, tmp_path).gigabytes == pytest.approx(3.44)


def test_downloads_name_gates_and_what_has_no_known_size(config, tmp_path):
    archives = {("data", "journeydb_train"), ("data", "journeydb_portraits")}
    found = downloads(config, archives | {("models", "sd3"), ("data", "world_proxies")}, tmp_path)
    assert found.gigabytes == pytest.approx(16 + 16.3), "both take the same archive"
    assert [gate.rpartition("/")[2] for gate in found.gates] == ["JourneyDB", "stable-diffusion-3.5-medium"]
    config = copy.deepcopy(config)
    config.data.data["unsized"] = {k: v for k, v in config.data.data["coco_val2017"].items() if k != "size_gb"}
    assert downloads(config, {("data", "unsized")}, tmp_path).unsized == ("unsized",)


def test_cells_say_where_more_comes_on_top(config, numbers):
    scored = {"scorer": "hps", "collection": "samples/sd15/eval", "part": "0"}
    jobs = [job("score_images", 1000, wildcards=scored)]
    (row,) = plan(["0.out"], jobs, costs_of(jobs, config, numbers), config)
    assert cells(row)[:4] == ("0.out", "1", "0.0+", "") and row.lacking == ("hps_v2",)


def test_papers_are_all_of_their_targets_and_unknown_names_are_refused(config):
    ganrm = targets_of(["ganrm"], config, "paper")
    assert {"ganrm_tab1", "ganrm_fig2", "ganrm_user_study"} <= set(ganrm)
    assert all(name.startswith("ganrm_") for name in ganrm)
    everything = targets_of([], config, "paper")
    assert set(ganrm) | set(targets_of(["advgrpo"], config, "paper")) == set(everything) - {"validity"}
    with pytest.raises(UserError, match="Did you mean 'ganrm_tab1'"):
        targets_of(["ganrm_tabl1"], config, "paper")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpu", "h1000"], "Did you mean 'h100'"),
        (["ganrm_tab99", "--scale", "paper"], "unknown target 'ganrm_tab99'"),
        (["--scale", "papers"], "Did you mean 'paper'"),
        (["--scale", "tiny"], "runs on a CPU"),
    ],
)
def test_the_command_refuses_with_the_cure(monkeypatch, words, said):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(UserError, match=said):
        plan_cost.main(words)


def test_a_mistake_in_the_rates_is_named_with_its_line(tmp_path):
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    path = tmp_path / "config/costs.yaml"
    path.write_text(path.read_text().replace("sd15: {share: 0.17", "sd15: {share: 1.7"))
    with pytest.raises(UserError, match=r"rates.sampling.sd15.share: 1.7 is greater.*costs.yaml:\d+"):
        load_numbers(tmp_path / "config", "h100")


def test_rows_are_written_as_csv_and_json(config, real, tmp_path):
    jobs = [sampling("sd3", 1000, output=["a.json"], input=["results/downloads/models/sd3.json"])]
    rows = plan(["a.json"], jobs, costs_of(jobs, config, real), config)
    plan_cost.write(rows, tmp_path / "a.csv", tmp_path / "a.json")
    (from_json,) = json.loads((tmp_path / "a.json").read_text())
    (from_csv,) = csv.DictReader((tmp_path / "a.csv").open())
    assert from_csv["target"] == "a.json" and float(from_csv["gpu_hours"]) == from_json["gpu_hours"] > 0
    assert from_json["terms_to_accept"] == [from_csv["terms_to_accept"]]


def test_the_readme_shows_rows_of_the_page_of_costs():
    pilot = (REPOSITORY / "docs/costs.md").read_text().split("## Paper scale")[0]
    rows = {tuple(line.strip("| ").split(" | ")) for line in pilot.splitlines() if line.startswith("| ")}
    shown = (REPOSITORY / "README.md").read_text().split("target        jobs", 1)[1].split("\n\n")[0].splitlines()[1:]
    assert len(shown) == 4 and all(tuple(line.split()) in rows for line in shown), "run make costs and copy the rows"
