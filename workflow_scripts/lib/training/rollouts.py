"""The rollout of an epoch on one or several processes: prompts drawn, groups sampled, images decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..diffusion.pipelines import denoiser_of
from ..diffusion.rollout import Sample, Trajectory, Velocity, group_samples, guided, roll_out, sampling_sigmas
from ..diffusion.sampling import decode, encode_prompts
from ..errors import UserError
from ..seeds import seed_of
from .denoiser import Denoiser, predict
from .grpo import WindowStep
from .settings import GRPOSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class MicroBatch:
    """Samples that pass the network together, in the rollout as in the update, so that both compute the same.

    `index` (B,) are their places in the rollout; `images` (B, H, W, 3) uint8, on the CPU.
    """

    index: Tensor
    samples: list[Sample]
    trajectory: Trajectory
    images: Tensor

    @property
    def prompts(self) -> list[str]:
        """Prompt of each sample."""
        return [sample.prompt for sample in self.samples]

    def steps(self) -> Iterator[WindowStep]:
        """The stochastic steps of the window, from noise to image."""
        t = self.trajectory
        for i in range(t.log_probs.shape[1]):
            yield WindowStep(
                t.latents[:, i], t.latents[:, i + 1], t.sigmas[:, i], t.sigmas[:, i + 1], t.log_probs[:, i]
            )


@dataclass(frozen=True)
class Rollout:
    """An epoch's samples: this process's micro-batches by update, and the embeddings of their prompts.

    `all_prompts` are those of the samples of all processes, in order.
    """

    updates: list[list[MicroBatch]]
    embeddings: dict[str, dict[str, Tensor]]
    all_prompts: list[str]

    @property
    def micro_batches(self) -> list[MicroBatch]:
        """Those of all updates."""
        return [micro for update in self.updates for micro in update]

    @property
    def prompts(self) -> list[str]:
        """Prompt of each of this process's samples."""
        return [prompt for micro in self.micro_batches for prompt in micro.prompts]


class Sampler:
    """Draws rollouts of a policy in training; everything random comes from (seed, rollout) alone."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        denoiser: Denoiser,
        prompts: list[str],
        settings: GRPOSettings,
        size: tuple[int, int],
        accelerator,
        seed: int,
    ) -> None:
        self.pipeline, self.denoiser, self.prompts = pipeline, denoiser, prompts
        self.settings, self.accelerator, self.seed = settings, accelerator, seed
        check_counts(settings, len(prompts), accelerator.num_processes)
        height, width = (side // pipeline.vae_scale_factor for side in size)
        self.shape = torch.Size((denoiser_of(pipeline).config.in_channels, height, width))
        self.sigmas = sampling_sigmas(pipeline, settings.sampling_steps).to(accelerator.device)

    @torch.no_grad()
    def roll_out(self, number: int) -> Rollout:
        """Rollout `number`: as many prompts as an epoch has groups, none twice; this process's share of the images."""
        samples = group_samples(self._draw_prompts(number), self.settings, self.seed, number)
        plan = plan_of_updates(self.settings, self.accelerator.process_index, self.accelerator.num_processes)
        own = [samples[i] for update in plan for index in update for i in index.tolist()]
        embeddings = self._encode([sample.prompt for sample in own])
        updates = [[self._micro_batch(index, samples, embeddings) for index in update] for update in plan]
        return Rollout(updates, embeddings, [sample.prompt for sample in samples])

    def velocity(self, network: Callable[..., Tensor], prompts: list[str], embeddings: dict) -> Velocity:
        """The guided velocity of `network(latents, timesteps, **text)` under these prompts."""
        names, device = embeddings[""], self.accelerator.device
        text = {name: torch.cat([embeddings[prompt][name] for prompt in prompts]).to(device) for name in names}
        empty = {name: value.to(device) for name, value in embeddings[""].items()}
        return guided(network, text, empty, self.settings.guidance_scale)

    def policy(self, *args, **kwargs) -> Tensor:
        """The network in training as `velocity` wants it."""
        return predict(self.denoiser.network, *args, **kwargs)

    def _draw_prompts(self, number: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed_of("prompts", self.seed, number))
        order = torch.randperm(len(self.prompts), generator=generator)[: self.settings.groups_per_epoch]
        return [self.prompts[i] for i in order.tolist()]

    def _encode(self, prompts: list[str]) -> dict[str, dict[str, Tensor]]:
        """Embeddings of each prompt and of the empty one, each (1, ...), float32."""
        found = {}
        for prompt in dict.fromkeys(["", *prompts]):
            text = encode_prompts(self.pipeline, [prompt], guided=False)
            found[prompt] = {name: value.float().cpu() for name, value in text.items()}
        return found

    def _micro_batch(self, index: Tensor, samples: list[Sample], embeddings: dict) -> MicroBatch:
        chosen = [samples[i] for i in index.tolist()]
        velocity = self.velocity(self.policy, [sample.prompt for sample in chosen], embeddings)
        with self.accelerator.autocast():
            trajectory = roll_out(velocity, chosen, self.shape, self.sigmas, self.settings)
        return MicroBatch(index, chosen, replace(trajectory, final=None), self._decode(trajectory.final))

    def _decode(self, latents: Tensor) -> Tensor:
        if not latents.isfinite().all():
            raise UserError(
                "the generator's latents are NaN or infinite: training diverged; lower learning_rate, or set "
                "mixed_precision to no"
            )
        return decode(self.pipeline, latents).cpu()


def plan_of_updates(settings: GRPOSettings, process: int, processes: int) -> list[list[Tensor]]:
    """Which samples of a rollout a process has: by update, micro-batches of places (B,)."""
    updates = torch.arange(settings.images_per_epoch).chunk(settings.updates_per_epoch)
    return [list(update.split(settings.micro_batch_size))[process::processes] for update in updates]


def check_counts(settings: GRPOSettings, num_prompts: int, processes: int) -> None:
    """UserError for counts that do not divide: updates, micro-batches and processes are to have equal shares."""
    if settings.groups_per_epoch > num_prompts:
        raise UserError(
            f"an epoch has {settings.groups_per_epoch} groups of different prompts, but there are {num_prompts} "
            "prompts; lower groups_per_epoch or give more prompts"
        )
    images, share = settings.images_per_epoch, settings.updates_per_epoch * settings.micro_batch_size * processes
    if images % share:
        raise UserError(
            f"{images} images of an epoch cannot be shared out among {settings.updates_per_epoch} updates, "
            f"micro-batches of {settings.micro_batch_size} and {processes} process(es); choose a micro_batch_size such "
            f"that their product divides {images}"
        )
