"""Diffusion-DPO (Wallace et al., arXiv 2311.12908, Eq. 14), as GAN-RM uses it (arXiv 2506.13846, Sec. 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class DPOLoss(NamedTuple):
    """Mean loss (scalar) and the share of pairs that the policy, against its reference, already orders right."""

    loss: Tensor
    implicit_accuracy: Tensor


def prediction_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared error per sample, (B, …) -> (B,), averaged over every other dimension (also the frames of a video)."""
    return F.mse_loss(prediction.float(), target.float(), reduction="none").flatten(1).mean(1)


def dpo_loss(best: Tensor, worst: Tensor, reference_best: Tensor, reference_worst: Tensor, beta: float) -> DPOLoss:
    """L = -log sigma(-beta/2 [(e_w - e_w^ref) - (e_l - e_l^ref)]), all errors (B,) at the same timestep and noise.

    `beta` is the launchers' beta_dpo, which holds T, the weighting of timesteps and the number of dimensions: errors
    are means, not sums.
    """
    inside = -0.5 * beta * ((best - reference_best) - (worst - reference_worst))
    return DPOLoss(-F.logsigmoid(inside).mean(), (inside > 0).float().mean())
