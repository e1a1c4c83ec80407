"""Losses, trigger, pairing and augmentation of Adv-GRPO against independent computations in float64."""

import math
from statistics import mean

import numpy as np
import pytest
import torch

from workflow_scripts.lib.rewards.adversarial import (
    bce_loss,
    bradley_terry_loss,
    colour_jitter,
    hinge_loss,
    jitter_factors,
)
from workflow_scripts.lib.training.discriminator_schedule import DiscriminatorSchedule


def random_scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(0, 3, 50), rng.normal(0, 3, 50)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (bradley_terry_loss, lambda real, fake: np.mean(-np.log(np.exp(real) / (np.exp(real) + np.exp(fake))))),
        (bce_loss, lambda real, fake: -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1 - sigmoid(fake)))),
        (
            hinge_loss,
            lambda real, fake: 0.5 * np.mean(np.maximum(0, 1 - real)) + 0.5 * np.mean(np.maximum(0, 1 + fake)),
        ),
    ],
)
def test_losses_equal_their_formulas(loss, expected):
    real, fake = random_scores()
    ours = loss(torch.from_numpy(real), torch.from_numpy(fake)).item()
    assert ours == pytest.approx(expected(real, fake), rel=1e-12)
    assert ours != pytest.approx(expected(fake, real), rel=1e-3)


def test_bradley_terry_is_the_cross_entropy_of_the_published_code():
    real, fake = map(torch.from_numpy, random_scores())
    expected = torch.nn.functional.cross_entropy(torch.stack([real, fake], dim=1), torch.zeros(50, dtype=torch.long))
    assert bradley_terry_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-12)


def test_losses_by_hand():
    zero, two = torch.zeros(2), torch.full((2,), 2.0)
    assert bradley_terry_loss(zero, zero).item() == pytest.approx(math.log(2))
    assert bce_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert hinge_loss(two, -two).item() == 0
    assert hinge_loss(zero, two).item() == pytest.approx(2)


def test_trigger_compares_means():
    schedule = DiscriminatorSchedule("trigger", None)
    assert schedule.is_deceived(mean([1.0, 3.0]), mean([2.0, 2.5]))
    assert not schedule.is_deceived(mean([1.0, 3.0]), mean([2.0, 2.0]))
    assert not schedule.is_deceived(mean([2.0]), mean([1.0]))


def test_colour_jitter_is_torchvisions_and_differs_between_images():
    from torchvision.transforms.functional import adjust_brightness, adjust_contrast

    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    factors = jitter_factors(3, 0.1, torch.Generator().manual_seed(1))
    ours = colour_jitter(images, factors)
    for image, jittered, brightness, contrast in zip(images, ours, *factors, strict=True):
        expected = adjust_contrast(adjust_brightness(image, brightness.item()), contrast.item())
        torch.testing.assert_close(jittered, expected, atol=1e-4, rtol=0)
    many = jitter_factors(500, 0.1, torch.Generator().manual_seed(1))
    assert (many.min().item(), many.max().item()) == pytest.approx((0.9, 1.1), abs=2e-3)
