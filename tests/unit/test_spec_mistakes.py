"""Every mistake in the configuration gets a message with file and line, what is known, and the nearest of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.spec import load_config

CONFIG = Path(__file__).resolve().parents[2] / "config"
QUESTIONS = "runs/ganrm_questions.yaml"
RUNS, TAB1, FIG2 = "runs/ganrm.yaml", "tables/ganrm_tab1.yaml", "tables/ganrm_fig2.yaml"
STUDY = "studies/ganrm_user_study.yaml"
TINY, MODELS = "scales/tiny.yaml", "models.yaml"


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A copy of config/ in which a text of a file is replaced."""
    root = tmp_path / "config"
    shutil.copytree(CONFIG, root)

    def edit(file: str, old: str, new: str) -> Path:
        text = (root / file).read_text()
        assert old in text, f"{file} no longer has {old!r}: adapt the test"
        (root / file).write_text(text.replace(old, new, 1))
        return root

    return edit


def message_of(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_config(root)
    return str(caught.value)


def line_of(root: Path, file: str, text: str) -> str:
    """`file:line` of the first line that has a text."""
    lines = (root / file).read_text().splitlines()
    return f"{root / file}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


# By name: file, text, its replacement, a text of the line that the message names, and words of the message
LEAF_ERROR = "a hyperparameter is written {value: …, quoted:"
MISTAKES = {
    "typo in a key": (
        RUNS,
        "learning_rate: {value: 1e-5",
        "learnig_rate: {value: 1e-5",
        "learnig_rate",
        "runs.sd15_sft.training has unknown key 'learnig_rate'; known: learning_rate, batch_size,",
        "Did you mean 'learning_rate'?",
    ),
    "unknown model of a run": (
        RUNS,
        "    objective: sft\n",
        "    objective: sft\n    model: sd51\n",
        "model: sd51",
        "run 'sd15_sft' names model 'sd51'; known: sd15, sd15_diffusiondpo, ",
        "Did you mean 'sd15'?",
    ),
    "unknown reward of a run": (
        RUNS,
        "    reward: ganrm\n",
        "    reward: ganmr\n",
        "reward: ganmr",
        "run 'ganrm' names reward 'ganmr'; known: ganrm, ",
        "Did you mean 'ganrm'?",
    ),
    "kernel distance without features": (
        TINY,
        "kind: kernel_distance, role: extractor, reference: references}",
        "kind: kernel_distance, role: extractor, reference: references, prompts: train}",
        "kid:",
        "metric 'kid' takes the features of a frechet_distance of its role, reference and prompts; there is none",
    ),
    "unknown encoder": (
        RUNS,
        "encoder: clip_tokens",
        "encoder: clip_token",
        "encoder:",
        "reward 'reward_prediction_layer' names encoder 'clip_token'; known: clip_tokens, clip_tokens_text, ",
        "Did you mean 'clip_tokens'?",
    ),
    "unknown parent": (
        RUNS,
        "parent: ganrm\n",
        "parent: garnm\n",
        "parent: garnm",
        "run 'sd15_sft' names parent 'garnm'; known: grpo, ",
        "Did you mean 'ganrm'?",
    ),
    "parent cycle": (
        RUNS,
        "  ganrm:\n    abstract: true",
        "  ganrm:\n    parent: sd15_dpo\n    abstract: true",
        "parent: sd15_dpo",
        "run 'ganrm' is its own ancestor: ganrm -> sd15_dpo -> ganrm",
    ),
    "bare value": (RUNS, "{value: 5000, assumed:", "5000 #", "beta:", "runs.sd15_dpo.training.beta: " + LEAF_ERROR),
    "no provenance": (RUNS, '{value: 8, quoted: "Sec. 4.1"}', "{value: 8}", "batch_size: {value: 8}", LEAF_ERROR),
    "two provenances": (
        RUNS,
        '{value: 8, quoted: "Sec. 4.1"}',
        '{value: 8, quoted: "Sec. 4.1", assumed: "and a reason"}',
        "and a reason",
        LEAF_ERROR,
    ),
    "typo in the provenance": (
        RUNS,
        '{value: 8, quoted: "Sec. 4.1"}',
        '{value: 8, qouted: "Sec. 4.1"}',
        "qouted",
        "runs.ganrm.training.batch_size has unknown key 'qouted'; known: value, quoted, assumed. "
        "Did you mean 'quoted'?",
    ),
    "override without reason": (
        TINY,
        'mixed_precision: {value: "no", assumed:',
        'mixed_precision: {value: "no"} #',
        "mixed_precision",
        LEAF_ERROR,
    ),
    "wrong type": (
        RUNS,
        "max_grad_norm: {value: 1.0",
        "max_grad_norm: {value: one",
        "max_grad_norm",
        "runs.ganrm.training.max_grad_norm must be a number, not 'one'",
    ),
    "unknown choice": (
        RUNS,
        "objective: sft",
        "objective: stf",
        "objective: stf",
        "runs.sd15_sft.objective is 'stf'; known: sft, dpo, grpo. Did you mean 'sft'?",
    ),
    "incomplete recipe": (
        RUNS,
        "      max_grad_norm:",
        "      # max_grad_norm:",
        "sd15_sft:",
        "run 'sd15_sft' and its parents do not state training.max_grad_norm",
    ),
    "foreign key": (
        RUNS,
        "      learning_rate: {value: 1e-5",
        '      beta: {value: 1, quoted: "Sec. 9"}\n      learning_rate: {value: 1e-5',
        "beta: {value: 1,",
        "run 'sd15_sft' has objective sft, to which training.beta does not belong",
    ),
    "key of another kind of reward": (
        QUESTIONS,
        "    column: pickscore",
        "    column: pickscore\n    data: references",
        "data: references",
        "reward 'pickscore' has kind scorer, to which data does not belong",
    ),
    "scorer without a column": (
        QUESTIONS,
        "    column: pickscore\n",
        "",
        "  pickscore:",
        "reward 'pickscore' and its parents do not state column",
    ),
    "unknown scorer": (
        QUESTIONS,
        "scorer: pickscore",
        "scorer: pikscore",
        "scorer: pikscore",
        "reward 'pickscore' names scorer 'pikscore'; known: clipscore, pickscore, hps,",
    ),
    "a round that a run does not have": (
        QUESTIONS,
        "model: sd15_dpo.r1",
        "model: sd15_dpo.r4",
        "model: sd15_dpo.r4",
        "run 'sd15_dpo_kept' names model 'sd15_dpo.r4'; known: sd15,",
    ),
    "a run that starts from itself": (
        QUESTIONS,
        "model: sd15_dpo.r1",
        "model: sd15_dpo_kept.r1",
        "model: sd15_dpo_kept.r1",
        "run 'sd15_dpo_kept' starts from itself: sd15_dpo_kept -> sd15_dpo_kept",
    ),
    "a word without captions": (
        "data.yaml",
        "  captions: *journeydb_captions\n",
        "",
        "journeydb_portraits:",
        "captions",
    ),
    "selection without a reward": (
        RUNS,
        "    data: preferences\n",
        "",
        "reward: null",
        "run 'sd15_diffusiondpo' has data selection and reward None; name the reward that selects",
    ),
    "duplicate key": (
        RUNS,
        "    objective: sft\n",
        "    objective: sft\n    objective: dpo\n",
        "objective: dpo",
        "key 'objective' appears twice, first at line",
    ),
    "not YAML": (RUNS, "    objective: sft\n", "    \tobjective: sft\n", "\tobjective", "not valid YAML"),
    "K beyond the pool, run": (
        RUNS,
        "candidates: {value: 10",
        "candidates: {value: 12",
        "candidates:",
        "run 'sd15_sft' chooses from K = 12 candidates, but scale 'paper' has 10 samples per prompt",
    ),
    "K beyond the pool, table": (
        TAB1,
        "best_of: 10",
        "best_of: 20",
        "best_of: 20",
        "row 'Ours-RM@10' of 'ganrm_tab1' ranks K = 20 samples, but scale 'paper' has 10 samples per prompt",
    ),
    "K beyond the pool, figure": (
        FIG2,
        "ranks_of: 10",
        "ranks_of: 11",
        "ranks_of",
        "row '1' of 'ganrm_fig2' ranks K = 11 samples, but scale 'paper' has 10",
    ),
    "more proxies than images": (
        RUNS,
        "num_proxies: {value: 500",
        "num_proxies: {value: 501",
        "num_proxies",
        "at scale 'paper', reward 'ganrm' has num_proxies = 501, but there are 500 images of role 'proxies'",
    ),
    "more images than the data set": (
        "scales/paper.yaml",
        "references: {value: 1000",
        "references: {value: 6000",
        "references: {value",
        "scale 'paper' takes 6000 images of 'journeydb_test', which has 5402",
    ),
    "more pseudo-labels than samples": (
        TINY,
        "num_positives: {value: ",
        "num_positives: {value: 9000",
        "num_positives",
        "at scale 'tiny', reward 'ganrm' pseudo-labels 9000",
    ),
    "too few images for FID": (
        TINY,
        "minimum_images_for_fid: ",
        "minimum_images_for_fid: 9000",
        "minimum_images_for_fid",
        "FD (tiny extractor) would compare ",
        " images, but minimum_images_for_fid is 9000",
    ),
    "VBench without its numbers of clips": (
        "scales/pilot.yaml",
        "  vbench_fps: {",
        "  # vbench_fps: {",
        "counts:",
        "counts lacks vbench_fps",
    ),
    "VBench with a scorer": (
        "scales/pilot.yaml",
        "kind: vbench, ",
        "kind: vbench, role: lpips, ",
        "kind: vbench",
        "VBench's package brings its own networks; leave the role out",
    ),
    "unknown prompts of VBench": (
        "scales/pilot.yaml",
        "flickering: vbench_flickering}",
        "flickering: vbench_flicker}",
        "kind: vbench",
        "metric 'vbench' names prompt set 'vbench_flicker'; known: train, ",
        "Did you mean 'vbench_flickering'?",
    ),
    "a figure that a scale has no prompts for": (
        "tables/ganrm_fig9.yaml",
        "otherwise: eval_video",
        "otherwise: evil_video",
        "prompts: fig9",
        "at scale 'tiny', 'ganrm_fig9' shows prompt set 'evil_video'; known: train, ",
        "Did you mean 'eval_video'?",
    ),
    "no preferences": (
        "scales/pilot.yaml",
        "  sd15_diffusiondpo: sd15_diffusiondpo\n",
        "",
        "data:",
        "run 'sd15_diffusiondpo' trains on preferences, of which scale 'pilot' takes none",
    ),
    "unknown registry entry": (
        TINY,
        "  sd15: tiny_sd15",
        "  sd15: tiny_sd51",
        "tiny_sd51",
        "role 'sd15' names entry 'tiny_sd51'; known: sd15,",
        "Did you mean 'tiny_sd15'?",
    ),
    "wrong kind of model for a metric": (
        TINY,
        "mean_score, role: world}",
        "mean_score, role: extractor}",
        "scene_accuracy",
        "metric 'scene_accuracy' names role 'extractor'; known: clipscore, pickscore, hps, imagereward, world",
    ),
    "override that replaces nothing": (
        TINY,
        "      sd15_sft:\n        training:\n",
        "      sd15_sft:\n        training:\n          beta: {value: 1, quoted: Sec. 9}\n",
        "Sec. 9",
        "scale 'tiny' changes a key that no run of those has: 'training.beta'; known: rounds,",
    ),
    "override of an unknown recipe": (
        TINY,
        "      sd15_dpo:",
        "      sd15_dop:",
        "sd15_dop",
        "the override names run 'sd15_dop'; known: grpo, ",
        "Did you mean 'sd15_dpo'?",
    ),
    "override of what a recipe is": (
        TINY,
        "  runs:\n    grpo:",
        "  runs:\n    objective: sft\n    grpo:",
        "objective",
        "overrides.runs.objective: a scale changes hyperparameters only",
    ),
    "unknown policy of a row": (
        TAB1,
        "policy: sd15_sft",
        "policy: sd15_stf",
        "policy: sd15_stf",
        "row 'Ours-SFT' of 'ganrm_tab1' names policy 'sd15_stf'; known: sd15, sd15_diffusiondpo, ",
        "Did you mean 'sd15_sft'?",
    ),
    "unknown reward of a row": (
        TAB1,
        "reward: ganrm,",
        "reward: ganmr,",
        "reward: ganmr",
        "row 'Ours-RM@10' of 'ganrm_tab1' names reward 'ganmr'; known: ganrm, ",
    ),
    "unknown metric": (
        TAB1,
        "- name: pickscore",
        "- name: pikscore",
        "pikscore",
        "'ganrm_tab1' names metric 'pikscore'; known: fid,",
        "Did you mean 'pickscore'?",
    ),
    "metric that a scale lacks": (
        TAB1,
        "decimals: 3, optional: true}",
        "decimals: 3}",
        "scene_accuracy",
        "'ganrm_tab1' needs metric 'scene_accuracy', which scale 'paper' lacks",
    ),
    "unknown column of the paper's values": (
        TAB1,
        "paper: {fid: 68.15",
        "paper: {fdi: 68.15",
        "fdi",
        "has the paper's value of column 'fdi'; known: fid,",
        "Did you mean 'fid'?",
    ),
    "unknown base row": (
        TAB1,
        "base_row: Base-model",
        "base_row: Base-modle",
        "base_row",
        "'ganrm_tab1' has base_row 'Base-modle'",
        "Did you mean 'Base-model'?",
    ),
    "unknown row to compare with": (
        TAB1,
        "better_than: Base-model",
        "better_than: Base",
        "better_than",
        "row 'DiffusionDPO' of 'ganrm_tab1' is compared with row 'Base';",
    ),
    "more rounds than the run has": (
        TAB1,
        "round: 3",
        "round: 4",
        "round: 4",
        "row 'Ours-DPO' of 'ganrm_tab1' is round 4 of run 'sd15_dpo', which has 3",
    ),
    "bad selection": (
        TAB1,
        "selection: first",
        "selection: frist",
        "selection: frist",
        "rows[0].selection is 'frist'; known: first. Did you mean 'first'?",
    ),
    "two sources": (
        MODELS,
        "source: {path: resources/zoo/sd15}",
        "source: {path: resources/zoo/sd15, url: 'https://x.org/y'}",
        "x.org",
        "tiny_sd15.source: a source is exactly one of {path: …}, {hub: …, revision: …} and {url: …}",
    ),
    "pipeline without sampling": (
        MODELS,
        "  base: sd15\n",
        "",
        "sd15_diffusiondpo:",
        "sd15_diffusiondpo lacks sampling",
    ),
    "unknown base": (
        MODELS,
        "  base: sd15\n",
        "  base: sd_15\n",
        "base:",
        "model 'sd15_diffusiondpo' names base 'sd_15'; known: sd15, ",
    ),
    "unknown class": (
        MODELS,
        "class: TinyFeatures",
        "class: TinyFeature",
        "class: TinyFeature",
        "Did you mean 'TinyFeatures'?",
    ),
    "data set without its split": (
        "data.yaml",
        "  split: proxies\n",
        "",
        "world_proxies:",
        "world_proxies lacks split",
    ),
    "policy of a study": (
        STUDY,
        "policy: sd15_dpo",
        "policy: sd15_dop",
        "sd15_dop",
        "row 'Ours-DPO' of 'ganrm_user_study' names policy 'sd15_dop'",
        "Did you mean 'sd15_dpo'?",
    ),
    "prompt set of a study": (
        STUDY,
        "prompts: eval",
        "prompts: evla",
        "prompts: evla",
        "study 'ganrm_user_study' names prompt set 'evla'",
        "Did you mean 'eval'?",
    ),
    "round of a study": (
        STUDY,
        "round: 3",
        "round: 4",
        "round: 4",
        "row 'Ours-DPO' of 'ganrm_user_study' is round 4 of run 'sd15_dpo', which has 3",
    ),
    "more prompts than a study's set has": (
        STUDY,
        "{value: 50,",
        "{value: 5000,",
        "num_prompts",
        "at scale 'tiny', study 'ganrm_user_study' shows 5000 prompts, but the set eval has 200",
    ),
    "question without provenance": (
        STUDY,
        'assumed: "the paper',
        'because: "the paper',
        "because:",
        "questions.preference.text has unknown key 'because'; known: value, quoted, assumed",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_with_its_line_and_the_nearest(edited, mistake):
    file, old, new, at, *says = mistake
    root = edited(file, old, new)
    message = message_of(root)
    for words in says:
        assert words in message
    assert f"({line_of(root, file, at)})" in message


@pytest.mark.parametrize("name", ["my table", "$(touch sprung)", "it's", "a;b", "a|b", ".*", "Upper"])
@pytest.mark.parametrize("folder", ["tables", "studies"])
def test_a_file_whose_name_cannot_be_a_target_is_named(edited, folder, name):
    root = edited(TAB1, "title: ", "title: ")
    shown = {"tables": "ganrm_tab1.yaml", "studies": "ganrm_user_study.yaml"}[folder]
    (root / folder / f"{name}.yaml").write_bytes((root / folder / shown).read_bytes())
    assert f"the file's name '{name}.yaml' must consist of a-z, 0-9 and _" in message_of(root)


def test_a_text_that_no_command_line_can_hold_is_named(edited):
    root = edited(TAB1, "title: ", 'title: "a\\0b" #')
    assert message_of(root) == (
        f"a NUL character, which no command line can hold; remove it ({line_of(root, TAB1, 'title: ')})"
    )


def test_a_model_cannot_bring_code_of_its_own(edited):
    root = edited(
        MODELS, "  class: StableDiffusionPipeline", "  trust_remote_code: true\n  class: StableDiffusionPipeline"
    )
    assert "has unknown key 'trust_remote_code'" in message_of(root)


def test_settings_from_the_command_line_are_checked(config):
    with pytest.raises(UserError, match=r"scale is 'tinny'; known: tiny, pilot, paper. Did you mean 'tiny'\?"):
        load_config(CONFIG, settings={**config.settings, "scale": "tinny"})


def test_unknown_names_asked_of_the_config_are_named(config):
    for ask, says in (
        (lambda: config.run("sd15_dop", "tiny"), r"unknown run 'sd15_dop'; known: .* Did you mean 'sd15_dpo'\?"),
        (lambda: config.run("ganrm", "tiny"), "unknown run 'ganrm'; known: flow_grpo_pickscore, "),
        (lambda: config.model("world", "paper"), "scale 'paper' has no model role 'world'; known: sd15,"),
        (lambda: config.data_entry("coco"), "unknown data set 'coco'; known: "),
        (
            lambda: config.table("ganrm_tabel1"),
            r"unknown table 'ganrm_tabel1'; known: .*ganrm_tab1, .*Did you mean 'ganrm_tab1'\?",
        ),
    ):
        with pytest.raises(UserError, match=says):
            ask()


def test_several_mistakes_are_shown_at_once(edited):
    edited(RUNS, "objective: sft", "objective: stf")
    message = message_of(edited(RUNS, "encoder: clip_tokens", "encodr: clip_tokens"))
    assert len(message.splitlines()) == 2
