"""Diffusion-DPO's loss against hand-computed values and against an independent float64 version."""

import math

import numpy as np
import pytest
import torch

from workflow_scripts.lib.training.dpo import dpo_loss, prediction_error


def test_equal_errors_give_ln_2_and_no_accuracy():
    errors = torch.full((4,), 0.3)
    loss, accuracy = dpo_loss(errors, errors, errors, errors, beta=5000)
    assert loss.item() == pytest.approx(math.log(2))
    assert accuracy.item() == 0


def test_a_hand_computed_pair():
    # beta 4: inside = -2 [(0.1 - 0.2) - (0.5 - 0.4)] = 0.4
    loss, accuracy = dpo_loss(*(torch.tensor([x]) for x in (0.1, 0.5, 0.2, 0.4)), beta=4.0)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.4)), rel=1e-6)
    assert accuracy.item() == 1


def test_against_numpy_in_float64():
    rng = np.random.default_rng(0)
    errors = rng.random((4, 64))
    inside = -0.5 * 7.0 * ((errors[0] - errors[2]) - (errors[1] - errors[3]))
    loss, accuracy = dpo_loss(*torch.tensor(errors), beta=7.0)
    assert loss.item() == pytest.approx(np.log1p(np.exp(-inside)).mean(), rel=1e-12)
    assert accuracy.item() == (inside > 0).mean()


def test_the_gradient_raises_the_winner_and_lowers_the_loser():
    best, worst = torch.tensor([0.2], requires_grad=True), torch.tensor([0.2], requires_grad=True)
    dpo_loss(best, worst, torch.tensor([0.2]), torch.tensor([0.2]), beta=10.0).loss.backward()
    assert best.grad.item() == pytest.approx(2.5)  # beta / 2 * sigma(0)
    assert worst.grad.item() == pytest.approx(-2.5)


@pytest.mark.parametrize("shape", [(3, 4, 8, 8), (3, 4, 5, 8, 8)])
def test_errors_average_every_dimension_but_the_batch(shape):
    prediction, target = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    expected = ((prediction - target) ** 2).reshape(3, -1).mean(1)
    assert torch.allclose(prediction_error(prediction, target).double(), expected, rtol=1e-5)
