"""The configuration layer: what it resolves to, what it says of every number, and that its page is in step."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.models import identity
from workflow_scripts.lib.spec import Policy, load_config, parse_policy
from workflow_scripts.lib.spec.leaves import leaves, lift, plain
from workflow_scripts.lib.spec.loading import Document, load_document
from workflow_scripts.lib.spec.policies import POLICY, SELECTION
from workflow_scripts.lib.spec.problems import Problems
from workflow_scripts.lib.spec.runs import Changes, Recipes
from workflow_scripts.lib.spec.scales import prefix_of, scale_of
from workflow_scripts.lib.spec.studies import planned_sides, studies_at
from workflow_scripts.lib.spec.tables import expectations
from workflow_scripts.write_configuration_page import main as write_configuration_page

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
SCALES = ("tiny", "pilot", "paper")


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


# What it resolves to


@pytest.mark.parametrize("scale", SCALES)
def test_every_recipe_of_every_scale_resolves_to_plain_values(config, scale):
    for name in config.runs(scale):
        assert all(not isinstance(value, dict) for value in config.run(name, scale)["training"].values())
    assert config.reward("ganrm", scale)["variant"] == "bootstrap"
    assert {"sd15_sft", "sd15_dpo"} <= set(config.runs(scale))


def test_paper_scale_is_the_papers(config):
    run = config.run("sd15_dpo", "paper")
    assert (run["rounds"], run["candidates"], run["objective"], run["training"]["beta"]) == (3, 10, "dpo", 5000)
    assert run["training"]["learning_rate"] == pytest.approx(1.6e-7)
    assert config.run("sd15_sft", "paper")["training"]["learning_rate"] == 1e-5
    assert "beta" not in config.run("sd15_sft", "paper")["training"]
    assert config.scale("paper").prompts.items() >= {"train": 20000, "negatives": 500, "eval": 1000}.items()
    assert config.reward("ganrm", "paper")["num_proxies"] == config.reward("ganrm", "paper")["num_negatives"] == 500
    assert config.reward("ganrm", "paper")["bootstrap"]["alpha"] is None


def test_a_scale_compiles_if_it_says_so(tmp_path, config):
    assert not any(config.scale(scale).compile for scale in SCALES)
    shutil.copytree(CONFIG, tmp_path / "config")
    with open(tmp_path / "config" / "scales" / "paper.yaml", "a") as file:
        file.write("compile: true\n")
    assert load_config(tmp_path / "config").scale("paper").compile


def test_the_safety_study_pairs_four_best_with_four_worst_of_every_unsafe_prompt(config):
    run, reward = config.run("sd15_safe_dpo", "paper"), config.reward("ganrm_safe_sd15", "paper")
    assert (run["rounds"], run["candidates"], run["pairs"], run["prompts"]) == (1, 10, 4, "unsafe_train")
    assert (reward["variant"], reward["num_proxies"], reward["negatives"]) == ("naive", 15690, "unsafe_negatives")
    assert config.scale("paper").images["safe_proxies"] == 15690
    assert reward["num_negatives"] == config.scale("paper").prompts["unsafe_negatives"] == 15155
    assert run["pairs"] * 15690 == 62760


def leaf(value: object) -> dict:
    return {"value": value, "quoted": "Sec. 1"}


@pytest.fixture
def family() -> Recipes:
    """A root, its child and its grandchild, and an unrelated recipe."""
    entries = {
        "root": {"abstract": True, "model": "sd15", "rounds": leaf(1), "training": {"a": leaf(1)}},
        "child": {"parent": "root", "training": {"b": leaf(2)}},
        "grandchild": {"parent": "child", "rounds": leaf(3), "training": {"a": leaf(4)}},
        "other": {"rounds": leaf(1)},
    }
    recipes = Recipes("run")
    recipes.add_all(Document("x.yaml", {"runs": entries}, {(): 1}), Problems())
    recipes.link(Problems())
    return recipes


def test_children_state_differences(family):
    assert plain(family.resolve("child")) == {"model": "sd15", "rounds": 1, "training": {"a": 1, "b": 2}}
    assert plain(family.resolve("grandchild")) == {"model": "sd15", "rounds": 3, "training": {"a": 4, "b": 2}}
    assert family.concrete() == ["child", "grandchild", "other"]


def test_overrides_reach_all_recipes_that_state_the_key_then_named_ones_and_their_descendants(family):
    def stated(tree: dict) -> dict:
        return lift(Document("y.yaml", tree, {(): 1}))

    everywhere = stated({"rounds": leaf(10), "training": {"b": leaf(20)}})
    named = {"child": stated({"rounds": leaf(30)}), "grandchild": stated({"training": {"a": leaf(40)}})}
    changes = Changes(everywhere, named)
    assert plain(family.resolve("child", changes)) == {"model": "sd15", "rounds": 30, "training": {"a": 1, "b": 20}}
    grandchild = family.resolve("grandchild", changes)
    assert plain(grandchild) == {"model": "sd15", "rounds": 30, "training": {"a": 40, "b": 20}}
    assert (grandchild["rounds"].kind, grandchild["rounds"].replaces.value) == ("scale", 3)
    assert plain(family.resolve("other", changes)) == {"rounds": 10}


def test_resolved_values_are_copies(config):
    config.run("sd15_dpo", "tiny")["training"]["beta"] = -1
    config.model("sd15", "tiny")["sampling"]["height"] = -1
    assert config.run("sd15_dpo", "tiny")["training"]["beta"] > 0
    assert config.model("sd15", "tiny")["sampling"]["height"] > 0


def test_yaml_numbers_and_words(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1e-4\nb: no\nc: 20_000\nd: null\ne: true\nf: -0.5\ng: 10:30\nh: '1'\ni: 010\n")
    assert load_document(tmp_path / "a.yaml").data == {
        "a": 1e-4, "b": "no", "c": 20000, "d": None, "e": True, "f": -0.5, "g": "10:30", "h": "1", "i": "010",
    }  # fmt: skip


def test_a_model_of_the_scale_wins_over_a_run_of_its_name(config):
    assert config.is_model("sd15_diffusiondpo", "paper") and not config.is_model("sd15_diffusiondpo", "tiny")
    assert "sd15_diffusiondpo" in config.runs("tiny") and "sd15_diffusiondpo" not in config.runs("paper")
    assert not config.is_model("clip_tokens", "tiny")
    assert ("sd15_diffusiondpo", "eval", "first") in config.table_measurements("ganrm_tab1", "paper")
    assert ("sd15_diffusiondpo.r1", "eval", "first") in config.table_measurements("ganrm_tab1", "tiny")


def test_a_vae_from_elsewhere_is_part_of_what_a_pipeline_is_made_from(config):
    for scale, unchanged in (("paper", "madebyollin/sdxl-vae-fp16-fix"), ("tiny", "resources/zoo/sd15/vae")):
        entry = config.model("sdxl", scale)
        assert unchanged in entry["vae"]["source"].values()
        assert identity(entry) != identity(entry | {"vae": {"source": {"path": "resources/other"}}})


def test_an_entry_with_a_base_is_sampled_like_it(config):
    ours = config.model("sd15_diffusiondpo", "paper")
    assert (ours["name"], ours["base"], ours["source"]["subfolder"]) == ("sd15_diffusiondpo", "sd15", "unet")
    assert ours["sampling"] == config.model("sd15", "paper")["sampling"]
    assert ours["sampling"]["num_inference_steps"] == 50


# Policies, selections, tables


@pytest.mark.parametrize("text", ["sd15", "sd15@1", "sd15_dpo.r3", "sd15_dpo@12.r10"])
def test_policies_round_trip(text):
    assert str(parse_policy(text)) == text
    assert re.fullmatch(POLICY, text)


@pytest.mark.parametrize("text", ["", "SD15", "sd15@0", "sd15_dpo.r0", "sd15_dpo.r3@1", "sd15.best10", "sd15/x", "@1"])
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(UserError, match="is not a policy"):
        parse_policy(text)


def test_previous_policies(config):
    assert parse_policy("sd15_dpo@1.r3") == Policy("sd15_dpo", 1, 3)
    assert str(config.previous("sd15_dpo@1.r3", "tiny/")) == "sd15_dpo@1.r2"
    assert str(config.previous("sd15_dpo@1.r1", "tiny/")) == "sd15@1"
    assert config.base_model("sd15_dpo@1.r1", "tiny") == config.base_model("sd15@1", "tiny") == "sd15"
    assert config.sampling("sdxl_dpo@1.r1", "tiny") == config.model("sdxl", "tiny")["sampling"]
    with pytest.raises(UserError, match="nothing precedes"):
        Policy("sd15").previous("sd15")


def test_measurements_of_the_table(config):
    assert config.table_measurements("ganrm_tab1", "tiny", replicate=2) == [
        (policy.format(model), "eval", selection)
        for model in ("sd15", "sdxl")
        for policy, selection in (
            ("{}@2", "first"),
            ("{}_diffusiondpo@2.r1", "first"),
            ("{}@2", "ganrm.best10"),
            ("{}_sft@2.r1", "first"),
            ("{}_dpo@2.r1", "first"),
            ("{}_dpo@2.r3", "first"),
        )
    ]


def test_rounds_that_a_scale_does_not_run_are_left_empty_with_the_reason(config):
    skipped = {row.row.row: row.skipped for row in config.table_rows("ganrm_tab1", "pilot") if row.skipped}
    assert skipped == {"Ours-DPO": "scale pilot runs 1 round"}
    assert ("sd15_dpo.r1", "eval", "first") in config.table_measurements("ganrm_tab1", "pilot")


def test_measurements_of_the_figure(config):
    found = [(policy, selection) for policy, _, selection in config.table_measurements("ganrm_fig2", "paper")]
    assert found[:2] == [("sd15", "ganrm.rank1of10"), ("sd15", "ganrm.rank2of10")]
    assert found[9:] == [("sd15", "ganrm.rank10of10"), ("sd15", "first"), ("sd15_diffusiondpo", "first")]
    assert all(re.fullmatch(SELECTION, selection) for _, selection in found)


def test_optional_columns_stand_only_where_the_metric_is_known(config):
    names = {scale: [column.name for column in config.table_columns("ganrm_tab1", scale)] for scale in SCALES}
    assert names["paper"] == names["pilot"] == ["fid", "kid", "imagereward", "pickscore", "hps", "clipscore"]
    assert names["tiny"] == [*names["paper"], "scene_accuracy", "crispness"]
    assert config.scale("tiny").metrics["fid"]["title"] == "FD (tiny extractor)"
    assert config.scale("tiny").metrics["crispness"]["column"] == "crispness"


def test_expected_signs_are_the_papers_own(config):
    signs = {
        (one.row[1], one.better_than[1], one.column): (one.sign, one.source)
        for one in expectations(config.table("ganrm_tab1"))
        if one.row[0] == "SD1.5"
    }
    assert signs["Ours-RM@10", "Base-model", "fid"] == (-1, "paper")
    assert signs["Ours-RM@10", "Base-model", "crispness"] == (1, "better")
    assert signs["Ours-DPO (round 1)", "Base-model", "clipscore"] == (-1, "paper"), (
        "the paper's round 1 lowers CLIPScore below the base's"
    )
    assert signs["Ours-DPO", "Ours-DPO (round 1)", "fid"] == (-1, "paper")
    assert not [key for key in signs if key[0] == "Base-model"]


def test_a_study_compares_two_policies_of_a_scale_that_has_them(config):
    study = config.study("ganrm_user_study")
    assert (study.prompts, study.num_prompts, study.blurred) == ("eval", 50, False)
    assert [(one.name, one.paper) for one in study.questions] == [("preference", 74.4)]
    for scale in ("tiny", "paper"):
        sides = [(side.policy, side.selection) for side in planned_sides(config, "ganrm_user_study", scale)]
        assert sides == [("sd15", "first"), ("sd15_dpo.r3", "first")]
    assert ["ganrm_user_study" in studies_at(config, scale) for scale in SCALES] == [True, False, True]
    with pytest.raises(UserError, match=r"compares sd15_dpo.r3, but scale pilot runs 1 round; choose another scale \("):
        planned_sides(config, "ganrm_user_study", "pilot")
    with pytest.raises(UserError, match=r"unknown study 'ganrm_study'; known: .*Did you mean 'ganrm_user_study'"):
        config.study("ganrm_study")


def test_a_study_of_selected_images_takes_its_candidates(tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config/studies/ganrm_user_study.yaml"
    chosen = "policy: sd15_dpo, round: 3, selection: {reward: ganrm, best_of: 4}"
    path.write_text(path.read_text().replace("policy: sd15_dpo, round: 3", chosen))
    changed = load_config(tmp_path / "config")
    assert planned_sides(changed, "ganrm_user_study", "tiny")[1].selection == "ganrm.best4"
    assert changed.samples_per_prompt("sd15_dpo.r3", "eval", "tiny") == 4


def test_vbench_has_its_own_numbers_of_clips(config):
    for scale, clips in (("paper", (5, 25)), ("pilot", (1, 5))):
        for policy in ("videocrafter2", "videocrafter2_dpo.r1"):
            sets = ("vbench", "vbench_flickering")
            assert tuple(config.samples_per_prompt(policy, one, scale) for one in sets) == clips
        assert {one for _, one, _ in config.table_measurements("ganrm_tab3", scale)} == {"eval_video", "vbench"}
        assert not config.trains_on("vbench", scale), "the noise is the same for both policies"


def test_a_figure_shows_other_prompts_where_a_scale_lacks_its_own(config):
    (block,) = config.figure("ganrm_fig9").blocks
    shown = {scale: block.prompt_set(config.scale(scale)) for scale in ("paper", "pilot", "tiny")}
    assert shown == {"paper": "fig9", "pilot": "fig9", "tiny": "eval_video"}


def test_samples_per_prompt(config):
    assert config.samples_per_prompt("sd15_dpo.r2", "train", "paper") == 10
    assert config.samples_per_prompt("sd15", "negatives", "paper") == 1
    assert config.samples_per_prompt("sd15@1", "eval", "paper") == 10, "RM@10 and Fig. 2 rank the base model's"
    assert config.samples_per_prompt("sd15_dpo.r3", "eval", "paper") == 1


def test_a_run_that_starts_from_anothers_round(config):
    assert str(config.previous("sd15_dpo_kept@1.r1", "tiny")) == "sd15_dpo@1.r1"
    assert config.base_model("sd15_dpo_kept.r1", "tiny") == "sd15"
    assert config.samples_per_prompt("sd15_dpo.r1", "train", "pilot") == 10, "the pilot has no second round of sd15_dpo"


def test_what_a_scale_lacks_is_not_run_there_and_its_row_says_why(config):
    assert "ganrm_many" in config.rewards("paper") and "ganrm_many" not in config.rewards("pilot")
    skipped = {row.row.row: row.skipped for row in config.table_rows("ganrm_q_scaling", "pilot") if row.skipped}
    assert skipped == {"5,000": "scale pilot has no images 'proxies_many'"}
    skipped = {row.row.row: row.skipped for row in config.table_rows("ganrm_q_compute", "pilot") if row.skipped}
    assert skipped == {
        "3 rounds": "scale pilot runs 1 round",
        "1 round, 3 × prompts": "scale pilot has no prompts 'train_triple'",
    }
    assert config.trains_on("train_triple", "paper") and not config.trains_on("eval", "paper")


def test_a_scale_changes_a_named_recipe_only(config):
    counts = {
        name: config.reward(name, "tiny")["bootstrap"] for name in ("ganrm", "ganrm_top_only", "ganrm_bottom_only")
    }
    assert [(one["num_positives"], one["num_negatives"]) for one in counts.values()] == [(32, 32), (32, 0), (0, 32)]


def test_scales_in_paths(config):
    assert [prefix_of(scale) for scale in SCALES] == ["tiny/", "pilot/", ""]
    assert [scale_of(prefix) for prefix in ("tiny/", "pilot/", "")] == list(SCALES)
    assert config.scale("").name == "paper"
    with pytest.raises(UserError, match=r"unknown scale 'tinny'; known: .*Did you mean 'tiny'\?"):
        config.scale("tinny")


def test_replicates(config):
    assert config.replicates("paper") == [0]
    assert config.replicates("tiny") == config.scale("tiny").replicates
    given = load_config(CONFIG, settings={**config.settings, "replicates": [4]})
    assert given.replicates("paper") == [4]


# The ledger


@pytest.mark.parametrize("scale", SCALES)
def test_the_ledger_lists_every_leaf(config, scale):
    rows = {(row.scope, row.key) for row in config.ledger(scale)}
    for kind, names in (("run", config.runs(scale)), ("reward", config.rewards(scale))):
        for name in names:
            for key, _ in leaves(config.resolved(kind, name, scale)):
                assert (f"{kind} {name}", key) in rows
    assert ("model sd15", "sampling.guidance_scale") in rows
    for name in studies_at(config, scale):
        texts = {(f"study {name}", f"questions.{one.name}.text") for one in config.study(name).questions}
        assert {(f"study {name}", "num_prompts")} | texts <= rows
    assert (f"scale {scale}", "counts.samples_per_prompt") in rows


def test_the_ledger_says_what_a_scale_replaced(config):
    rows = {(row.scope, row.key): row for row in config.ledger("tiny")}
    rate = rows["run sd15_dpo", "training.learning_rate"]
    assert (rate.kind, rate.value) == ("scale", config.run("sd15_dpo", "tiny")["training"]["learning_rate"])
    assert rate.replaces.startswith("1.6e-07 (assumed: DiffusionDPO's 1e-8")
    assert re.search(r"config/scales/tiny.yaml:\d+$", rate.where)
    quoted = rows["run sd15_dpo", "candidates"]
    assert (quoted.kind, quoted.text, quoted.replaces) == ("quoted", "Sec. 4.1: 10 samples per prompt", "")


# The schemas and the page written from them


def declared(schema: object, path: str = "") -> Iterator[tuple[str, dict, dict]]:
    """(path, the schema that declares, the key's schema) of every key declared anywhere in a schema."""
    if isinstance(schema, dict):
        is_leaf = str(schema.get("$ref", "")).endswith(("leaf", "$defs/leaf"))
        for key, inner in schema.get("properties", {}).items():
            if not (is_leaf and key == "value"):
                yield f"{path}.{key}", schema, inner
        for key, inner in schema.items():
            if key not in ("if", "then", "else", "allOf"):
                yield from declared(inner, f"{path}.{key}")


@pytest.mark.parametrize("file", sorted(CONFIG.glob("schemas/*.yaml")), ids=lambda file: file.stem)
def test_every_key_has_a_description_and_unknown_keys_are_refused(file):
    from jsonschema import Draft202012Validator

    schema = load_document(file).data
    Draft202012Validator.check_schema(schema)
    for path, declaring, inner in declared(schema):
        refinement = path.endswith(".properties.value") or (path.endswith(".value") and "$ref" in declaring)
        assert refinement or inner.get("description"), f"{file.name}: {path} has no description"
        named_freely = "propertyNames" in declaring
        assert refinement or named_freely or declaring.get("additionalProperties") is False, (
            f"{file.name}: {path} stands beside unknown keys"
        )


def test_config_schema_serves_snakemake_too():
    from snakemake.utils import validate

    assert "$ref" not in (CONFIG / "schemas/config.schema.yaml").read_text()
    settings = load_document(CONFIG / "config.yaml").data
    validate(settings, str(CONFIG / "schemas/config.schema.yaml"))
    assert settings["scale"] == "tiny"


def test_the_reference_page_is_in_step(tmp_path):
    write_configuration_page(["--config", str(CONFIG), "--out", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    shipped = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert shipped == page, "run: python -m workflow_scripts.write_configuration_page"
    unsaid = re.findall(r"^\| (`\S+`\*?) \| (?:, with provenance)? *\|", page, re.MULTILINE)
    assert not unsaid, "the page does not say what values these take"
    for schema in CONFIG.glob("schemas/*.yaml"):
        for path, _, inner in declared(load_document(schema).data):
            if "description" in inner and "hyperparameter" not in schema.name:
                assert inner["description"].replace("|", "\\|") in page, f"{schema.name}: {path} is missing on the page"


def test_loading_is_light():
    heavy = "{'torch', 'pandas', 'numpy', 'snakemake', 'diffusers'}"
    load = "import sys\nfrom workflow_scripts.lib.spec import load_config\nload_config()\n"
    code = f"{load}print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
