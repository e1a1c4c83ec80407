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
    step: int, batch: int, num_examples: int, shape: torch.Size, schedule, caption_dropout: float, seed: int
) -> StepDraw:
    """Everything random in a step, from (seed, step) alone; examples in a fresh order each epoch, none twice in one."""
    generator = torch.Generator().manual_seed(seed_of("step", seed, step))
    index = torch.tensor([_example(step * batch + i, num_examples, seed) for i in range(batch)])
    timesteps = draw_timesteps(schedule, batch, generator)
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


class FlowMatchSchedule:
    """Rectified flow (arXiv 2403.03206): x = (1 - sigma) x_0 + sigma noise, timestep = 1000 sigma; velocity predicted.

    Training draws sigma logit-normally, then shifts it as the sampler shifts its grid.
    """

    def __init__(self, scheduler) -> None:
        self.config = scheduler.config

    def draw_timesteps(self, batch: int, generator: torch.Generator) -> Tensor:
        """Float timesteps (B,) on the generator's device: sigmoid of a standard normal, shifted."""
        sigma = torch.randn(batch, generator=generator, device=generator.device).sigmoid()
        shift = self.config.shift
        return self.config.num_train_timesteps * shift * sigma / (1 + (shift - 1) * sigma)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents (B, ...) on the straight line to `noise`, at timesteps (B,)."""
        sigma = (timesteps / self.config.num_train_timesteps).to(latents).view(-1, *[1] * (latents.ndim - 1))
        return (1 - sigma) * latents + sigma * noise


def noise_schedule(scheduler):
    """The training schedule behind whatever scheduler samples.

    `FlowMatchSchedule` for flow matching, else a `DDPMScheduler` with its betas and its prediction type.
    VideoCrafter2's scheduler has a schedule of its own and is its own training schedule.
    """
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

    from ..diffusion.videocrafter import VideoCrafterDDIMScheduler

    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        return FlowMatchSchedule(scheduler)
    if isinstance(scheduler, VideoCrafterDDIMScheduler):
        return scheduler
    return DDPMScheduler.from_config(scheduler.config)


def draw_timesteps(schedule, batch: int, generator: torch.Generator) -> Tensor:
    """Timesteps (B,) to train on, on the generator's device: uniform integers, or as flow matching draws them."""
    if isinstance(schedule, FlowMatchSchedule):
        return schedule.draw_timesteps(batch, generator)
    return torch.randint(schedule.config.num_train_timesteps, (batch,), device=generator.device, generator=generator)


def targets(schedule, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the denoiser is to predict: the noise, or the velocity of flow matching and of v-prediction models."""
    if isinstance(schedule, FlowMatchSchedule):
        return noise - latents
    if schedule.config.prediction_type == "v_prediction":
        return schedule.get_velocity(latents, noise, timesteps)
    return noise
