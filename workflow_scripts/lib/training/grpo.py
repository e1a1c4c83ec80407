"""Group-relative policy optimisation (Flow-GRPO, arXiv 2505.05470; Adv-GRPO, arXiv 2511.20256): its mathematics."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..diffusion.flow import KL, STEPS
from ..diffusion.rollout import Velocity
from ..errors import UserError
from .settings import GRPOSettings

EPSILON = 1e-4
"""Added to the standard deviation of rewards, as in the released code."""


class PolicyLoss(NamedTuple):
    """The clipped objective of each sample, (B,), to be minimised, and the likelihood ratio (B,) of new to old."""

    loss: Tensor
    ratio: Tensor


def advantages(rewards: Tensor, std: str, clip: float) -> Tensor:
    """How much better than its group each image is, (G, K) for rewards (G, K) of G groups, clipped to +-`clip`.

    In units of the standard deviation of the own group (`std` group: Eq. 1 of arXiv 2511.20256) or of all rewards
    (global: its released code). UserError for groups of one and for a reward that is not finite.
    """
    if rewards.shape[1] < 2:
        raise UserError("advantages compare images of a group, which has one image only; set group_size to 2 or more")
    if not rewards.isfinite().all():
        raise UserError("a reward is NaN or infinite, so advantages cannot be computed; look at the reward's model")
    centred = rewards - rewards.mean(1, keepdim=True)
    spread = rewards.std(1, correction=0, keepdim=True) if std == "group" else rewards.std(correction=0)
    return (centred / (spread + EPSILON)).clamp(-clip, clip)


def clipped_objective(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_range: float) -> PolicyLoss:
    """max(-A r, -A clip(r, 1 - c, 1 + c)), r = exp(log_prob - old_log_prob), all (B,)."""
    ratio = (log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return PolicyLoss(torch.maximum(-advantage * ratio, -advantage * clipped), ratio)


class WindowStep(NamedTuple):
    """One stochastic step of B samples, as it was taken: latents before and after, sigmas, log-probabilities (B,)."""

    latents: Tensor
    next_latents: Tensor
    sigma: Tensor
    next_sigma: Tensor
    log_prob: Tensor


def grpo_losses(
    velocity: Velocity, reference: Callable[[], Velocity], step: WindowStep, advantage: Tensor, settings: GRPOSettings
) -> dict[str, Tensor]:
    """Means over the samples of a step: `loss` to minimise, `kl` if it counts, `clip_fraction`; and `ratio` (B,).

    `reference` gives the velocity of the model that the policy is held to; it is called if `kl_weight` is not 0.
    """

    def taken(velocity: Velocity):
        predicted, sigmas = velocity(step.latents, step.sigma), (step.sigma, step.next_sigma)
        stochastic = STEPS[settings.sampler]
        return stochastic(step.latents, predicted, *sigmas, settings.noise_level, next_x=step.next_latents)

    now = taken(velocity)
    loss, ratio = clipped_objective(now.log_prob, step.log_prob, advantage, settings.clip_range)
    means = {"loss": loss.mean(), "clip_fraction": ((ratio - 1).abs() > settings.clip_range).float().mean()}
    if settings.kl_weight:
        with torch.no_grad():
            mean = taken(reference()).mean
        means["kl"] = KL[settings.kl_form](now.mean, mean, now.std).mean()
        means["loss"] = means["loss"] + settings.kl_weight * means["kl"]
    return {**means, "ratio": ratio}
