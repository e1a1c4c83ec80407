"""Generators at their true size: images, latents and a step of training by the command lines."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from workflow_scripts.lib.shards import Part

from . import published
from .workspace import Workspace

pytestmark = pytest.mark.large
SMALLER = {"num_inference_steps": 1, "height": 256, "width": 256}
STEP = "--max-steps 1 --batch-size 1 --gradient-accumulation-steps 1 --lr-warmup-steps 0 --checkpoint-seconds 1e9 "
FULL = STEP + "--learning-rate 1e-5 --optimizer adafactor --gradient-checkpointing"
LORA = STEP + "--learning-rate 1e-3 --scope lora --lora-rank 4 --gradient-checkpointing"
ROLLOUTS = (
    "--generator-epochs 1 --groups-per-epoch 1 --group-size 2 --updates-per-epoch 1 --micro-batch-size 1 "
    "--sampling-steps 2 --guidance-scale 1 --sampler cps --noise-level 0.8 --window-start 0 --window-width 1 "
    "--clip-range 1e-5 --advantage-clip 5 --advantage-std global --kl-weight 0 --kl-form as_coded "
    "--learning-rate 3e-4 --scope lora --lora-rank 32 --lora-alpha 64 --lora-targets attn --gradient-checkpointing"
)
LEARNER = (
    "--discriminator-model dinov2_b14 --discriminator-kind foundation --discriminator-loss hinge "
    "--discriminator-learning-rate 1e-4 --discriminator-normalise --discriminator-schedule ratio "
    "--discriminator-steps-per-generator-epoch 1"
)


def sample(work: Workspace, name: str, out: str, images: int, *more: object, **changes: object) -> Path:
    """Run sample_images with the registry's sampling but for `changes`; images of one prompt, all different."""
    prompts = work.folder / "prompts.parquet"
    pd.DataFrame({"prompt_id": [0], "prompt": ["a photo of a red cat"]}).to_parquet(prompts)
    settings = {key: one["value"] for key, one in work.registry[name]["sampling"].items()} | changes
    words = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]
    count = ["--num-prompts", 1, "--samples-per-prompt", images, "--stream", "large", "--batch-size", 1]
    path = work.folder / out / "part0.json"
    work.run("sample_images", "--model", name, "--prompts", prompts, *count, *words, *more, "--out", path)
    arrays = [array for _, array in Part(path).images()]
    assert len(arrays) == images and len({array.tobytes() for array in arrays}) == images
    return path


def encode(work: Workspace, name: str, part: Path, shape: tuple[int, ...]) -> Path:
    """Run encode_latents; the latents of the best image have `shape`."""
    out = work.folder / "examples.safetensors"
    work.run("encode_latents", "--model", name, "--images", part, "--batch-size", 1, "--out", out)
    tensors = load_file(out)
    assert tuple(tensors["best"].shape[1:]) == shape
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    return out


def train(work: Workspace, verb: str, name: str, examples: Path, how: str, *more: object) -> Path:
    """Run a step of a training; its history is finite, and the policy file names the model."""
    out = work.folder / verb / "policy.json"
    work.run(verb, "--model", name, "--examples", examples, *how.split(), *more, "--out", out)
    assert json.loads(out.read_text())["model"] == name
    history = json.loads((out.parent / "history.json").read_text())
    assert np.isfinite([value for row in history for value in row.values() if isinstance(value, float)]).all()
    return out


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_sd15(work):
    published.sd15(work)
    part = sample(work, "sd15", "images", 2, **SMALLER)
    examples = encode(work, "sd15", part, (4, 32, 32))
    policy = train(work, "train_sft", "sd15", examples, FULL)
    sample(work, "sd15", "of_policy", 1, "--policy", policy, **SMALLER | {"guidance_scale": 1.0})
    train(work, "train_dpo", "sd15", examples, FULL, "--beta", 5000)
    ran = "2 images of 256 × 256, latents, a step of SFT and of DPO on the whole UNet, an image of the policy"
    work.record("sd15", ran, "256 pixels of 512; 1 denoising step of 50; Adafactor in place of AdamW")


def test_sdxl(work):
    published.sdxl(work)
    part = sample(work, "sdxl", "images", 1, **SMALLER)
    examples = encode(work, "sdxl", part, (4, 32, 32))
    train(work, "train_sft", "sdxl", examples, LORA)
    ran = "an image of 256 × 256, latents, a step of SFT on adapters"
    work.record("sdxl", ran, "256 pixels of 1,024; 1 denoising step of 50; adapters in place of all weights")


def test_sd35_medium(work):
    published.sd3(work)
    published.dinov2(work)
    part = sample(work, "sd3", "images", 1, **SMALLER)
    encode(work, "sd3", part, (16, 32, 32))
    words = ["--prompts", work.folder / "prompts.parquet", "--references", part, "--height", 128, "--width", 128]
    out = work.folder / "train_grpo" / "policy.json"
    work.run("train_grpo", "--model", "sd3", *words, *ROLLOUTS.split(), *LEARNER.split(), "--out", out)
    history = pd.read_parquet(out.parent / "history.parquet")
    assert list(history["kind"]) == ["discriminator", "generator"] and history["loss"].notna().any()
    ran = "an image of 256 × 256, latents, an epoch of GRPO with a DINOv2 discriminator on adapters"
    less = "256 pixels of 512; 1 denoising step of 40; GRPO on 2 images of 128 pixels in 2 steps without guidance"
    work.record("sd3", ran, f"T5 with {published.T5_LAYERS} of 24 layers; {less}")


def test_videocrafter2(work):
    published.videocrafter2(work)
    smaller = {"num_inference_steps": 1, "num_frames": 8, "height": 160, "width": 256}
    part = sample(work, "videocrafter2", "images", 2, **smaller)
    examples = encode(work, "videocrafter2", part, (4, 8, 20, 32))
    train(work, "train_dpo", "videocrafter2", examples, LORA, "--beta", 5000)
    ran = "2 clips of 8 frames of 160 × 256, latents, a step of DPO on adapters"
    work.record("videocrafter2", ran, "8 frames of 16, half the height and width; adapters in place of all weights")
