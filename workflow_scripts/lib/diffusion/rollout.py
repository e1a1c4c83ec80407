"""Rollouts: samples of a flow model that keep what their stochastic steps started from and ended at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import UserError
from ..seeds import seed_of
from .flow import STEPS, draw_window, ode_step
from .settings import RolloutSettings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

TIMESTEPS = 1000  # sigma 1 is timestep 1000 to every model trained by flow matching
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(latents (B, ...), sigma (B,)) -> velocity (B, ...), float32."""


@dataclass(frozen=True)
class Sample:
    """One image to roll out: the k-th of its group, whose stochastic steps are `window`."""

    prompt: str
    group: int
    k: int
    seed: int
    window: range


@dataclass(frozen=True)
class Trajectory:
    """What B samples did in their windows of w steps.

    `latents` (B, w + 1, C, h, w) at `sigmas` (B, w + 1), from the window's first step on; `log_probs` (B, w) of its
    steps; `final` (B, C, h, w), the finished latents.
    """

    latents: Tensor
    sigmas: Tensor
    log_probs: Tensor
    final: Tensor


def group_samples(prompts: list[str], settings: RolloutSettings, seed: int, rollout: int) -> list[Sample]:
    """The samples of a rollout, group by group: the same prompt and window, noise of their own."""
    samples = []
    for group, prompt in enumerate(prompts):
        generator = torch.Generator().manual_seed(seed_of("window", seed, rollout, group))
        window = draw_window(settings.window_start, settings.window_width, settings.sampling_steps, generator)
        for k in range(settings.group_size):
            samples.append(Sample(prompt, group, k, seed_of("rollout", seed, rollout, group, k), window))
    return samples


def sampling_sigmas(pipeline: DiffusionPipeline, sampling_steps: int) -> Tensor:
    """The sampler's noise levels (steps + 1,), from 1 to 0; UserError for a model that does not match flows."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    if not isinstance(pipeline.scheduler, FlowMatchEulerDiscreteScheduler):
        raise UserError(
            f"rollouts need a flow-matching model such as sd3; {type(pipeline).__name__} samples with "
            f"{type(pipeline.scheduler).__name__}"
        )
    pipeline.scheduler.set_timesteps(sampling_steps)
    return pipeline.scheduler.sigmas.clone()


def roll_out(
    velocity: Velocity, samples: list[Sample], shape: torch.Size, sigmas: Tensor, settings: RolloutSettings
) -> Trajectory:
    """Sample latents of `shape` (C, h, w), each from its own seed: Euler's steps, stochastic ones in the windows."""
    noises = [_noises(sample, shape) for sample in samples]
    device, stochastic = sigmas.device, STEPS[settings.sampler]
    start, width = torch.tensor([s.window.start for s in samples], device=device), settings.window_width
    x = torch.stack([noise[0] for noise in noises]).to(device)
    latents = x.new_empty(len(samples), width + 1, *shape)
    log_probs = x.new_empty(len(samples), width)
    for i in range(len(sigmas) - 1):
        sigma, next_sigma = sigmas[i].expand(len(x)), sigmas[i + 1].expand(len(x))
        predicted = velocity(x, sigma)
        following = ode_step(x, predicted, sigma, next_sigma)
        inside = ((start <= i) & (i < start + width)).nonzero().flatten()
        if len(inside):
            place = i - start[inside]
            noise = torch.stack([noises[j][1 + p] for j, p in zip(inside, place, strict=True)]).to(device)
            step = stochastic(
                x[inside], predicted[inside], sigma[inside], next_sigma[inside], settings.noise_level, noise=noise
            )
            latents[inside, place], latents[inside, place + 1] = x[inside], step.next_x
            log_probs[inside, place] = step.log_prob
            following[inside] = step.next_x
        x = following
    return Trajectory(latents, sigmas[start[:, None] + torch.arange(width + 1, device=device)], log_probs, x)


def guided(predict: Callable[..., Tensor], text: dict[str, Tensor], empty: dict[str, Tensor], scale: float) -> Velocity:
    """Velocity with classifier-free guidance of `predict(latents, timesteps, **text)`, both branches in one pass.

    `text` of B prompts, `empty` of the one empty prompt. Scale 1 or less is without guidance and takes one branch.
    """
    embeddings = text
    if scale > 1:
        embeddings = {name: torch.cat([empty[name].expand_as(value), value]) for name, value in text.items()}

    def velocity(x: Tensor, sigma: Tensor) -> Tensor:
        times = 2 if scale > 1 else 1
        found = predict(torch.cat([x] * times), TIMESTEPS * torch.cat([sigma] * times), **embeddings).float()
        if scale <= 1:
            return found
        unguided, wanted = found.chunk(2)
        return unguided + scale * (wanted - unguided)

    return velocity


def _noises(sample: Sample, shape: torch.Size) -> Tensor:
    """Initial noise and that of each step of the window (1 + w, C, h, w), drawn on the CPU from the sample's seed."""
    generator = torch.Generator().manual_seed(sample.seed)
    return torch.randn(1 + len(sample.window), *shape, generator=generator)
