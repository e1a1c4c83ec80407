"""The noising of latents, drawn per optimiser step so that resumption and the number of GPUs change nothing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..seeds import seed_of


class StepDraw(NamedTuple):
    """A step's draws for its B examples: which (B,), timesteps (B,), noise (B, C, h, w), dropped captions (B,)."""

    index: Tensor
    timesteps: Tensor
    noise: Tensor
    dropped: Tensor


def draw_step(
    step: int, batch: int, num_examples: int, shape: torch.Size, num_timesteps: int, caption_dropout: float, seed: int
) -> StepDraw:
    """Everything random in a step, from (seed, step) alone; examples in a fresh order each epoch, none twice in one."""
    generator = torch.Generator().manual_seed(seed_of("step", seed, step))
    index = torch.tensor([_example(step * batch + i, num_examples, seed) for i in range(batch)])
    timesteps = torch.randint(num_timesteps, (batch,), generator=generator)
    noise = torch.randn((batch, *shape), generator=generator)
    dropped = torch.rand(batch, generator=generator) < caption_dropout
    return StepDraw(index, timesteps, noise, dropped)


_ORDERS: dict[tuple[int, int, int], Tensor] = {}


def _example(position: int, num_examples: int, seed: int) -> int:
    epoch, place = divmod(position, num_examples)
    key = (seed, epoch, num_examples)
    if key not in _ORDERS:
        _ORDERS.clear()
        _ORDERS[key] = torch.randperm(
            num_examples, generator=torch.Generator().manual_seed(seed_of("epoch", seed, epoch))
        )
    return int(_ORDERS[key][place])


def noise_schedule(scheduler):
    """The training schedule (`DDPMScheduler`) behind whatever scheduler samples: its betas and its prediction type.

    VideoCrafter2's scheduler has a schedule of its own and is its own training schedule.
    """
    from diffusers import DDPMScheduler

    from ..diffusion.videocrafter import VideoCrafterDDIMScheduler

    if isinstance(scheduler, VideoCrafterDDIMScheduler):
        return scheduler
    return DDPMScheduler.from_config(scheduler.config)


def targets(scheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the denoiser is to predict: the noise, or the velocity for v-prediction models."""
    if scheduler.config.prediction_type == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    return noise
