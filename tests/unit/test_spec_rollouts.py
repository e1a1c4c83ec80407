"""Configuration of GRPO: what Adv-GRPO's runs resolve to, what refers to what, and messages about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.test_spec_mistakes import edited, line_of, message_of
from workflow_scripts.lib.spec import Policy, load_config
from workflow_scripts.lib.spec.scales import References
from workflow_scripts.lib.spec.tables import expectations

CONFIG = Path(__file__).resolve().parents[2] / "config"
ADVGRPO, TINY, TAB1 = "runs/advgrpo.yaml", "scales/tiny.yaml", "tables/advgrpo_tab1.yaml"
__all__ = ["edited"]


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


def test_the_papers_run_is_what_its_code_does(config):
    run = config.run("advgrpo_dino", "paper")
    assert (run["model"], run["objective"], run["data"], run["rewards"]) == ("sd3", "grpo", "rollouts", {})
    assert (run["prompts"], run["references"]) == ("pickscore_train", "pickscore_references")
    assert run["grpo"]["groups_per_epoch"] * run["grpo"]["group_size"] == 768
    critic = config.discriminator(run["discriminator"], "paper")
    epochs, steps = run["grpo"]["generator_epochs"], critic["steps_per_generator_epoch"]
    assert epochs * (steps + run["grpo"]["updates_per_epoch"]) == 858, "the checkpoint that the authors evaluate"
    assert (critic["cls_weight"], critic["patch_weight"], critic["patch_loss_weight"]) == (0.7, 0.3, 0.3)


def test_runs_are_rewarded_as_the_paper_says(config):
    def rewards(name):
        run = config.run(name, "paper")
        return run["rewards"], run["discriminator"], run["references"]

    assert rewards("flow_grpo_pickscore") == ({"pickscore": 1}, None, None)
    assert rewards("advgrpo_pickscore") == ({}, "pickscore_discriminator", "pickscore_references")
    assert rewards("advgrpo_ocr") == ({"ocr": 0.5, "dino_similarity": 0.5}, None, "ocr_references")
    assert rewards("flow_grpo_multi_reward")[0] == {"pickscore": 0.037, "ocr": 0.963}
    assert config.discriminator("dino_discriminator_replay", "paper")["replay"] == 1


def test_what_compares_with_references_watches_runs_that_have_some(config):
    """Fig. 17c: the method beside the baseline that the similarity rewards."""
    watched = {
        (scale, name): config.run(name, scale)["references"]
        for scale in ("tiny", "paper")
        for name in config.runs(scale)
        if "dino_similarity" in (config.run(name, scale).get("watch") or ())
    }
    assert ("paper", "advgrpo_dino") in watched and None not in watched.values()
    (panel,) = (one for one in config.figures["advgrpo_fig17"].panels if one.title == "DINO similarity")
    assert [line.column for line in panel.lines] == ["reward/dino_similarity", "truth/dino_similarity"]
    for line in panel.lines:
        kind, role = line.column.split("/")
        assert role in config.run(line.row.policy, "paper")["rewards" if kind == "reward" else "watch"]


def test_references_belong_to_prompts_and_count_as_images(config):
    paper = config.scale("paper")
    assert paper.references["pickscore_references"] == References("pickscore_train", 8, data="qwen_image_pickscore")
    assert paper.images["pickscore_references"] == 8 * 25432
    assert paper.images["pickscore_references_200"] == 200
    assert paper.references["ocr_references"].model == "reference_generator"
    assert "ocr_references" not in paper.data


def test_sampled_references_ask_a_model_for_as_many_samples(config):
    assert config.samples_per_prompt("reference_generator", "ocr_train", "paper") == 8
    assert config.samples_per_prompt(Policy("anime_generator"), "style_train", "paper") == 1


def test_a_scale_trains_the_styles_that_it_has(config):
    assert "advgrpo_line_art" in config.runs("tiny") and "advgrpo_anime" not in config.runs("tiny")
    assert "advgrpo_anime" in config.runs("paper") and "advgrpo_line_art" not in config.runs("paper")
    (row,) = (row for row in config.table_rows("advgrpo_fig11", "tiny") if row.row.policy == "advgrpo_anime")
    assert row.skipped == "scale tiny has no references 'anime_references'"


def test_rows_are_measured_on_their_own_prompts_only(config):
    found = config.table_measurements("advgrpo_tab2", "paper")
    assert found == [
        ("sd3", "pickscore_eval", "first"),
        ("advgrpo_dino.r1", "pickscore_eval", "first"),
        ("sd3", "ocr_eval", "first"),
        ("advgrpo_dino_ocr.r1", "ocr_eval", "first"),
        ("sd3", "geneval_eval", "first"),
        ("advgrpo_dino_geneval.r1", "geneval_eval", "first"),
    ]


def test_directions_are_expected_where_both_rows_have_the_column(config):
    claims = {(one.row, one.better_than, one.column, one.sign) for one in expectations(config.table("advgrpo_tab4"))}
    rows = ("SFT", "Flow-GRPO w/ KL", "Multi-Reward")
    pickscore = {(("PickScore", "Adv-GRPO"), ("PickScore", row), "grpo_pickscore", 1) for row in rows}
    assert claims == pickscore | {(("OCR", "Adv-GRPO"), ("OCR", row), "ocr_accuracy", 1) for row in rows[:2]}


def test_discriminators_of_a_scale_are_in_its_ledger(config):
    rows = {(row.scope, row.key): row for row in config.ledger("tiny")}
    steps = rows["discriminator dino_discriminator", "steps_per_generator_epoch"]
    assert steps.kind == "scale" and steps.replaces.startswith("9 (assumed: code")
    assert ("run advgrpo_ocr", "rewards.dino_similarity") in rows
    assert ("scale tiny", "references.pickscore_references.per_prompt") in rows


def test_a_study_shows_all_of_a_set_that_is_smaller(config):
    study = config.study("advgrpo_fig4b")
    assert study.num_prompts == study.num_shown(config.scale("paper")) == 100
    assert study.num_shown(config.scale("tiny")) == config.scale("tiny").prompts["ocr_eval"] < 100
    assert [question.name for question in study.questions] == ["quality", "alignment", "aesthetics"]
    assert [question.paper for question in study.questions] == [83.8, 75.7, 85.3]


# By name: file, text, its replacement, a text of the line that the message names, and words of the message
MISTAKES = {
    "unknown discriminator": (
        ADVGRPO,
        "discriminator: dino_discriminator\n",
        "discriminator: dino_discriminater\n",
        "discriminator: dino_discriminater",
        "run 'advgrpo_dino' names discriminator 'dino_discriminater'",
        "Did you mean 'dino_discriminator'?",
    ),
    "unknown references": (
        ADVGRPO,
        "references: ocr_references",
        "references: ocr_refs",
        "references: ocr_refs",
        "run 'advgrpo_ocr' names references 'ocr_refs'",
        "Did you mean 'ocr_references'?",
    ),
    "unknown reward": (
        ADVGRPO,
        "      dino_similarity: {value: 0.5",
        "      dino_similarty: {value: 0.5",
        "dino_similarty",
        "run 'advgrpo_ocr' is rewarded by 'dino_similarty'",
        "Did you mean 'dino_similarity'?",
    ),
    "unknown watcher": (
        ADVGRPO,
        "watch: [pickscore, world,",
        "watch: [pickscore, wrld,",
        "watch: [pickscore, wrld",
        "run 'grpo' is watched by 'wrld'",
    ),
    "model of a discriminator": (
        ADVGRPO,
        "    model: dino\n",
        "    model: dinov2\n",
        "model: dinov2",
        "discriminator 'dino_discriminator' names model 'dinov2'",
        "Did you mean 'dino'?",
    ),
    "model of a discriminator without patch tokens": (
        ADVGRPO,
        "    model: dino\n",
        "    model: extractor\n",
        "model: extractor",
        "discriminator 'dino_discriminator' names model 'extractor'",
    ),
    "weights": (
        ADVGRPO,
        "dino_similarity: {value: 0.5",
        "dino_similarity: {value: 0.6",
        "",
        "run 'advgrpo_ocr' has rewards whose weights add up to 1.1, not to 1",
    ),
    "no reward": (
        ADVGRPO,
        "    rewards: {}\n    discriminator: pickscore_discriminator\n",
        "    rewards: {}\n",
        "",
        "run 'advgrpo_pickscore' has neither rewards nor a discriminator; name one",
    ),
    "discriminator without references": (
        ADVGRPO,
        "    references: pickscore_references\n    rewards: {}\n",
        "    rewards: {}\n",
        "",
        "run 'advgrpo_pickscore' has a discriminator, which needs references; name some",
    ),
    "group of one": (
        ADVGRPO,
        "group_size: {value: 16",
        "group_size: {value: 1",
        "group_size",
        "runs.grpo.grpo.group_size: 1 is less than the minimum of 2",
    ),
    "key of another objective": (
        ADVGRPO,
        "    references: null\n",
        '    references: null\n    candidates: {value: 10, quoted: "Sec. 4"}\n',
        "candidates:",
        "has objective grpo, to which candidates does not belong",
    ),
    "rollouts of another objective": (
        ADVGRPO,
        "    data: rollouts\n",
        "    data: proxies\n",
        "data: proxies",
        "has objective grpo and data proxies; `rollouts` belong to grpo",
    ),
    "more groups than prompts": (
        TINY,
        "groups_per_epoch: {value: 8,",
        "groups_per_epoch: {value: 24,",
        "groups_per_epoch",
        "run 'advgrpo_dino_200' draws 24 prompts for an epoch, but the set 'pickscore_train_200' has 20",
    ),
    "micro-batches that do not divide": (
        TINY,
        "micro_batch_size: {value: 32,",
        "micro_batch_size: {value: 24,",
        "micro_batch_size",
        "cannot divide 64 images of an epoch into 2 updates of whole micro-batches of 24",
    ),
    "window beyond the last step": (
        TINY,
        "sampling_steps: {value: 5,",
        "sampling_steps: {value: 2,",
        "",
        "has a window that ends with step 2 of 2, the last of which is not stochastic",
    ),
    "references of other prompts": (
        TINY,
        "ocr_references: {prompts: ocr_train",
        "ocr_references: {prompts: geneval_train",
        "",
        "run 'advgrpo_ocr' trains on prompt set 'ocr_train', but references 'ocr_references' are of 'geneval_train'",
    ),
    "prompt set of references": (
        TINY,
        "ocr_references: {prompts: ocr_train",
        "ocr_references: {prompts: orc_train",
        "ocr_references: {",
        "references 'ocr_references' name prompt set 'orc_train'",
        "Did you mean 'ocr_train'?",
    ),
    "source of references": (
        TINY,
        "ocr_references: {prompts: ocr_train, data: world_renderings",
        "ocr_references: {prompts: ocr_train, data: world_references",
        "ocr_references: {",
        "role 'ocr_references' cannot be played by 'world_references', which is of kind world",
        "`references` take world_renderings or prompt_archives",
    ),
    "steps of a trigger": (
        ADVGRPO,
        "steps_per_generator_epoch: {value: null",
        "steps_per_generator_epoch: {value: 3",
        "steps_per_generator_epoch: {value: 3",
        "discriminator 'pickscore_discriminator' has schedule trigger and steps_per_generator_epoch 3",
    ),
    "column of a row": (
        TAB1,
        "columns: &ocr [ocr_accuracy,",
        "columns: &ocr [ocr_acuracy,",
        "columns: &ocr",
        "row 'SD3' of 'advgrpo_tab1' names column 'ocr_acuracy'",
        "Did you mean 'ocr_accuracy'?",
    ),
    "study of a figure": (
        "tables/advgrpo_fig4.yaml",
        "advgrpo_fig4b",
        "advgrpo_fig4e",
        "studies:",
        "'advgrpo_fig4' shows study 'advgrpo_fig4e'",
    ),
    "policy of a curve": (
        "tables/advgrpo_fig17.yaml",
        "policy: advgrpo_pickscore",
        "policy: advgrpo_pick",
        "policy: advgrpo_pick,",
        "row 'Adv-GRPO' of 'advgrpo_fig17' names policy 'advgrpo_pick'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_the_nearest(edited, mistake):  # noqa: F811
    file, old, new, at, *says = mistake
    root = edited(file, old, new)
    message = message_of(root)
    for words in says:
        assert words in message
    assert not at or line_of(root, file, at) in message
