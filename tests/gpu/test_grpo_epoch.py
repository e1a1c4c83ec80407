"""A generator epoch of Adv-GRPO equals a straightforward loop's: in the small, and at SD3.5-M's true size on a GPU."""

import math
import time
from dataclasses import replace

import pytest
import torch

from tests.benchmarks.gpu import lacking
from tests.benchmarks.grpo_epochs import LIMITS, Difference, Epochs
from tests.benchmarks.sd3_sizes import SIZES, random_pipeline

PEAK_GB = 64
"""Above the sum of 5 GB of weights, 2 GB of text encoders, VAE and DINOv2, 38 GB that the forward pass of a
micro-batch of 8 keeps for the backward pass (counted on the true network without data) and up to 8 GB more where layer
norms keep float32."""


def forget_accelerate():
    """accelerate allows but one arithmetic in a process."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()


@pytest.fixture(scope="module")
def small():
    forget_accelerate()
    yield Epochs(SIZES["small"])
    forget_accelerate()


@pytest.fixture
def true_size():
    forget_accelerate()
    yield Epochs(SIZES["true"], groups=1)
    forget_accelerate()


def test_a_small_epoch_equals_a_straightforward_loops(small):
    ours = small.ours()
    assert small.history["ratio_first"] == 1 and math.isfinite(small.history["loss"])
    assert ours.moved.abs().max() > 0 and ours.images.float().std(dim=0).mean() > 10
    assert ours.log_probs.shape == (8, 2) and ours.rewards.std() > 0
    assert Difference.of(ours, small.straightforward()).within(LIMITS["no"])
    assert Difference.of(ours, small.ours()).within(LIMITS["no"]), "an epoch does not begin from the same weights"


@pytest.mark.parametrize(
    "changes",
    [{"guidance_scale": 4.4}, {"noise_level": 0.79}, {"advantage_clip": 0.5}, {"clip_range": 1e-4}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_epoch_is_told_apart(small, monkeypatch, changes):
    ours = small.ours()
    monkeypatch.setattr(small, "grpo", replace(small.grpo, **changes))
    assert not Difference.of(ours, small.straightforward()).within(LIMITS["no"])


def test_the_true_size_has_the_published_numbers_of_weights():
    pipeline = random_pipeline(SIZES["true"], torch.device("meta"))
    parts = {"transformer": 2.243e9, "vae": 83.8e6, "text_encoder": 123.65e6, "text_encoder_2": 694.7e6}
    counts = {name: sum(weight.numel() for weight in getattr(pipeline, name).parameters()) for name in parts}
    assert counts == pytest.approx(parts, rel=1e-3)
    grpo, training = SIZES["true"].settings()
    assert (grpo.images_per_epoch, grpo.micro_batch_size, grpo.sampling_steps) == (64, 8, 10)
    assert (training.mixed_precision, training.lora_rank, training.lora_targets) == ("bf16", 32, "attn")


@pytest.mark.skipif(lacking() is not None, reason=str(lacking()))
def test_an_epoch_of_the_true_size_equals_a_straightforward_loops(true_size):
    epochs, seconds = true_size, {}

    def timed(side):
        torch.cuda.synchronize()
        start = time.perf_counter()
        epoch = getattr(epochs, side)()
        seconds[side] = time.perf_counter() - start
        return epoch

    for side in ("ours", "straightforward"):
        timed(side)  # warm-up
    ours, theirs = timed("ours"), timed("straightforward")
    peaks = {side: peak / 1e9 for side, peak in epochs.peak_bytes.items()}
    difference = Difference.of(ours, theirs)
    ratio = seconds["straightforward"] / seconds["ours"]
    print(f"{len(ours.images)} images: {seconds} s, ratio {ratio:.2f}, peak {peaks} GB, {difference}")
    assert abs(epochs.history["ratio_first"] - 1) <= epochs.grpo.clip_range / 10
    assert math.isfinite(epochs.history["loss"]) and ours.moved.abs().max() > 0
    assert difference.within(LIMITS["bf16"])
    assert peaks["ours"] < PEAK_GB
