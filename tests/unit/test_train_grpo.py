"""The command line of train_grpo: real rewards and a real discriminator on the shipped tiny SD3; what it refuses."""

import pandas as pd
import pytest

from workflow_scripts import import_images, train_grpo
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.spec import load_config

PROMPTS = ["a frog at top left on blue", "the word SUN on green"]
ROLLOUTS = (
    "--model tiny_sd3 --height 32 --width 32 --generator-epochs 1 --groups-per-epoch 2 --group-size 2 "
    "--updates-per-epoch 1 --micro-batch-size 2 --sampling-steps 3 --guidance-scale 1 --sampler cps --noise-level 0.8 "
    "--window-start random --window-width 1 --clip-range 1e-5 --advantage-clip 5 --advantage-std group --kl-weight 0 "
    "--kl-form as_coded --learning-rate 1e-3 --scope lora --lora-rank 2 --lora-alpha 4 --lora-targets attn_and_attn2"
)
LEARNER = (
    "--discriminator-model tiny_clip_tokens --discriminator-kind foundation --discriminator-loss hinge "
    "--discriminator-learning-rate 1e-3 --discriminator-normalise --discriminator-schedule ratio "
    "--discriminator-steps-per-generator-epoch 1"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A prompt set and reference images of its prompts."""
    folder = tmp_path_factory.mktemp("grpo")
    prompts, references = folder / "prompts.parquet", folder / "references" / "part0.json"
    pd.DataFrame({"prompt_id": [0, 1], "prompt": PROMPTS}).to_parquet(prompts)
    words = ["--dataset", "world_renderings", "--count", "2", "--shape", "32x32", "--prompts", str(prompts)]
    import_images.main([*words, "--out", str(references)])
    return prompts, references


def call(files, out, *words):
    prompts, references = files
    given = ["--prompts", prompts, "--references", references, "--out", out]
    train_grpo.main([*map(str, given), *ROLLOUTS.split(), *words])


def test_rewards_and_a_discriminator_train_a_policy_that_can_be_sampled(tmp_path, files):
    out = tmp_path / "policy.json"
    rewards = ["--rewards", "pickscore=tiny_pickscore:0.25", "image_similarity=tiny_image_similarity:0.75"]
    call(files, out, *rewards, "--watch", "world", *LEARNER.split())
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert list(history["kind"]) == ["discriminator", "generator"]
    row = history.iloc[1]
    weighted = 0.25 * row["reward/pickscore"] + 0.75 * row["reward/image_similarity"] + row["reward/discriminator"]
    assert row["reward/total"] == pytest.approx(weighted, rel=1e-4)
    assert {"truth/scene_accuracy", "truth/crispness"} <= set(history) and row["ratio_first"] == 1
    assert history["discriminator/reference"].notna()[0] and (tmp_path / "discriminator.pt").exists()
    assert read_json(out)["objective"] == "grpo"
    import torch

    config = load_config()
    load_pipeline(config.pipeline("tiny_sd3"), config.pipelines(), out, "cpu", torch.float32)


def test_learning_rates_are_told_apart(capsys):
    with pytest.raises(SystemExit):
        train_grpo.main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "--learning-rate LEARNING_RATE after the warm-up" in said
    assert "--discriminator-learning-rate DISCRIMINATOR_LEARNING_RATE of Adam" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to reward images by"),
        (["--rewards", "ocr=no_such_model:1"], "unknown model 'no_such_model'"),
        (["--discriminator-model", "tiny_clip_tokens"], "needs --discriminator-kind, --discriminator-loss"),
        (["--rewards", "ocr=tiny_ocr:1"], "finds no text to read in the prompt 'a frog at top left on blue'"),
        (["--rewards", "pickscore=tiny_pickscore:1", "--watch", "ocr"], "no text to read in the prompt"),
        (["--model", "tiny_sd15", "--rewards", "pickscore=tiny_pickscore:1"], "need a flow-matching model"),
    ],
)
def test_what_it_cannot_do_is_said(tmp_path, files, words, said):
    with pytest.raises(UserError, match=said):
        call(files, tmp_path / "policy.json", *words)
    assert not (tmp_path / "policy.json").exists()


def test_prompts_without_references_are_refused(tmp_path, files):
    prompts = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt_id": [0, 1], "prompt": [PROMPTS[0], "a cat on red"]}).to_parquet(prompts)
    with pytest.raises(UserError, match="1 of 2 prompts have no reference image, such as 'a cat on red'"):
        call((prompts, files[1]), tmp_path / "policy.json", *LEARNER.split())
