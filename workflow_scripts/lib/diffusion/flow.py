"""Steps of flow-matching samplers with their likelihoods: stochastic ones (CPS, Flow-GRPO's SDE) and the Euler step.

x_sigma = (1 - sigma) x_0 + sigma x_1, x_0 the image, x_1 the noise; a model predicts the velocity x_1 - x_0. All
functions are pure; latents, velocities and noise are (B, ...), float32; sigmas are (B,) or of no dimension, in [0, 1],
and fall. Log-probabilities and divergences are means over the elements of a latent, not sums: so are those of the
released code of Flow-GRPO and Adv-GRPO, and their clip ranges and weights belong to means.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UserError


class Step(NamedTuple):
    """A stochastic step: where it went, the normal distribution it was drawn from, and its log-probability (B,)."""

    next_x: Tensor
    mean: Tensor
    std: Tensor
    log_prob: Tensor


def squared_error_log_prob(next_x: Tensor, mean: Tensor) -> Tensor:
    """-mean (x' - mean)^2, (B,): what Adv-GRPO's code calls the log-probability of a CPS step."""
    return -(next_x - mean).square().flatten(1).mean(1)


def gaussian_log_prob(next_x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Mean over elements of the normal log-density, (B,); `std` as in `Step`."""
    density = -(next_x - mean).square() / (2 * std.square()) - std.log() - 0.5 * math.log(2 * math.pi)
    return density.flatten(1).mean(1)


def ode_step(x: Tensor, velocity: Tensor, sigma: Tensor, next_sigma: Tensor) -> Tensor:
    """Euler's step x + (sigma' - sigma) v, as FlowMatchEulerDiscreteScheduler takes it."""
    return x + _like(next_sigma - sigma, x) * velocity


def cps_step(
    x: Tensor,
    velocity: Tensor,
    sigma: Tensor,
    next_sigma: Tensor,
    noise_level: float,
    *,
    noise: Tensor | None = None,
    next_x: Tensor | None = None,
) -> Step:
    """Coefficients-preserving sampling (arXiv 2509.05952): the noise of the step replaces a part of that in x.

    std = sigma' sin(pi noise_level / 2), mean = (1 - sigma') x_0 + sqrt(sigma'^2 - std^2) x_1. Give `noise` to draw x',
    or `next_x` to ask how likely it is. `noise_level` 0 is Euler's step.
    """
    sigma, next_sigma = _like(sigma, x), _like(next_sigma, x)
    std = next_sigma * math.sin(math.pi * noise_level / 2)
    x_0, x_1 = x - sigma * velocity, x + (1 - sigma) * velocity
    mean = (1 - next_sigma) * x_0 + (next_sigma.square() - std.square()).sqrt() * x_1
    next_x = _reached(mean, std, noise, next_x)
    return Step(next_x, mean, std, squared_error_log_prob(next_x, mean))


def sde_step(
    x: Tensor,
    velocity: Tensor,
    sigma: Tensor,
    next_sigma: Tensor,
    noise_level: float,
    *,
    noise: Tensor | None = None,
    next_x: Tensor | None = None,
) -> Step:
    """Flow-GRPO's SDE (arXiv 2505.05470, Eq. 8 and 9), diffusion a sqrt(sigma / (1 - sigma)), a the `noise_level`.

    At sigma 1, which only the first step has, the denominator takes sigma' instead, as the released code does. Give
    `noise` to draw x', or `next_x` to ask how likely it is. `noise_level` 0 is Euler's step.
    """
    sigma, next_sigma = _like(sigma, x), _like(next_sigma, x)
    step = next_sigma - sigma
    diffusion = noise_level * (sigma / (1 - torch.where(sigma == 1, next_sigma, sigma))).sqrt()
    drift = diffusion.square() / (2 * sigma)
    mean = x * (1 + drift * step) + velocity * (1 + drift * (1 - sigma)) * step
    std = diffusion * (-step).sqrt()
    next_x = _reached(mean, std, noise, next_x)
    return Step(next_x, mean, std, gaussian_log_prob(next_x, mean, std))


STEPS = {"cps": cps_step, "sde": sde_step}
"""Stochastic steps by the name of the sampler."""


def kl_as_coded(mean: Tensor, reference_mean: Tensor, std: Tensor) -> Tensor:
    """Mean squared distance of the means, (B,): the divergence in Adv-GRPO's code, without 1 / (2 std^2)."""
    return (mean - reference_mean).square().flatten(1).mean(1)


def kl_closed_form(mean: Tensor, reference_mean: Tensor, std: Tensor) -> Tensor:
    """KL divergence of two normal distributions of the same `std`, averaged over elements, (B,)."""
    return ((mean - reference_mean).square() / (2 * std.square())).flatten(1).mean(1)


KL = {"as_coded": kl_as_coded, "closed_form": kl_closed_form}
"""Divergences by the name of their form."""


def draw_window(start: int | str, width: int, num_steps: int, generator: torch.Generator | None) -> range:
    """The stochastic steps of a rollout: from `start` on, or with "random" from a step of the noisier half on.

    The last step is none of them: it ends at sigma 0, where CPS has no noise and the likelihood of others overflows.
    """
    if start == "random":
        last = min(num_steps // 2, num_steps - 1 - width)
        start = int(torch.randint(max(last, 0) + 1, (), generator=generator))
    if width < 1 or start < 0 or start + width > num_steps - 1:
        raise UserError(
            f"a window of {width} steps from step {start} on does not fit {num_steps} sampling_steps, the last of "
            "which cannot be stochastic; lower window_start or window_width, or raise sampling_steps"
        )
    return range(start, start + width)


def _reached(mean: Tensor, std: Tensor, noise: Tensor | None, next_x: Tensor | None) -> Tensor:
    """Where a step ends: at `next_x`, or where `noise` takes it."""
    if (noise is None) == (next_x is None):
        raise ValueError("give either the noise of the step or the latents it ended at")
    return mean + std * noise if next_x is None else next_x


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    """Sigmas (B,) or () in a shape that multiplies latents (B, ...)."""
    return sigma.to(x).view(-1, *[1] * (x.ndim - 1))
