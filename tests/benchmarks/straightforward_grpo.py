"""One generator epoch of Adv-GRPO as its released loop goes about it, written afresh from public interfaces.

Prompt by prompt, a few images each: texts are encoded for every batch, both branches of guidance pass together, a
Python loop takes the steps, rewards are computed batch by batch; then gradients are accumulated batch by batch and step
by step. The released loop also rounds latents to bfloat16 between steps and draws patches for its reward anew: not
here, for the two sides of a comparison are to compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.lib.training.settings import GRPOSettings, OptimiserSettings

if TYPE_CHECKING:
    from diffusers import StableDiffusion3Pipeline


@dataclass(frozen=True)
class Batch:
    """Images of one prompt, each with the seed of its noises."""

    prompt: str
    seeds: list[int]


@dataclass(frozen=True)
class Collected:
    """What a batch of B images keeps of its rollout: `path` (B, w + 1, C, h, w) through the w stochastic steps."""

    prompt: str
    text: tuple[Tensor, Tensor]
    path: Tensor
    log_probs: Tensor
    images: Tensor
    rewards: Tensor


@dataclass
class StraightforwardLoop:
    """Trains the weights of the pipeline's transformer that require gradients.

    `reward` gives (B,) for images uint8 (B, 3, H, W) of `pixels` a side; the settings are but a list of numbers here.
    """

    pipeline: StableDiffusion3Pipeline
    reward: Callable[[Tensor], Tensor]
    pixels: int
    grpo: GRPOSettings
    training: OptimiserSettings

    def epoch(self, batches: list[Batch]) -> list[Collected]:
        """Roll out all batches, then update the weights in place; what was rolled out."""
        trained = [parameter for parameter in self.pipeline.transformer.parameters() if parameter.requires_grad]
        optimizer = self._optimizer(trained)
        collected = [self._collect(batch) for batch in batches]
        gains = advantages(collected, self.grpo.advantage_clip)
        batches_per_update, steps = len(batches) // self.grpo.updates_per_epoch, self.grpo.window_width
        for number, (batch, gain) in enumerate(zip(collected, gains, strict=True), 1):
            for step in range(steps):
                loss = self._loss(batch, step, gain.to(batch.path.device))
                (loss / (batches_per_update * steps)).backward()
            if number % batches_per_update == 0:
                torch.nn.utils.clip_grad_norm_(trained, self.training.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
        return collected

    def _optimizer(self, trained: list) -> torch.optim.Optimizer:
        s = self.training
        betas = (s.adam_beta1, s.adam_beta2)
        return torch.optim.AdamW(
            trained, lr=s.learning_rate, betas=betas, weight_decay=s.adam_weight_decay, eps=s.adam_epsilon
        )

    @torch.no_grad()
    def _collect(self, batch: Batch) -> Collected:
        """Encode, sample, decode and reward one batch."""
        text, noises = self._encode(batch), self._noises(batch)
        self.pipeline.scheduler.set_timesteps(self.grpo.sampling_steps, device=self.pipeline.transformer.device)
        sigmas = self.pipeline.scheduler.sigmas.tolist()
        latents, path, log_probs = noises[0], [noises[0]], []
        for i in range(self.grpo.sampling_steps):
            velocity = self._velocity(latents, i, text)
            if i < self.grpo.window_width:
                mean, std = cps(latents, velocity, sigmas[i], sigmas[i + 1], self.grpo.noise_level)
                latents = mean + std * noises[1 + i]
                path.append(latents)
                log_probs.append(log_prob(latents, mean))
            else:
                latents = latents + (sigmas[i + 1] - sigmas[i]) * velocity
        images = self._decode(latents)
        path, log_probs = torch.stack(path, dim=1), torch.stack(log_probs, dim=1)
        return Collected(batch.prompt, text, path, log_probs, images, self.reward(images))

    def _encode(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Tokens and pooled text of the empty prompt and of the batch's, for each of its images."""
        tokens, no_tokens, pooled, no_pooled = self.pipeline.encode_prompt(
            prompt=batch.prompt,
            prompt_2=None,
            prompt_3=None,
            num_images_per_prompt=len(batch.seeds),
            do_classifier_free_guidance=True,
        )
        return torch.cat([no_tokens, tokens]), torch.cat([no_pooled, pooled])

    def _noises(self, batch: Batch) -> Tensor:
        """The initial noise and that of each stochastic step, (1 + w, B, C, h, w), from the seed of each image."""
        transformer, side = self.pipeline.transformer, self.pixels // self.pipeline.vae_scale_factor
        shape = (1 + self.grpo.window_width, transformer.config.in_channels, side, side)
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in batch.seeds]
        return torch.stack(drawn, dim=1).to(transformer.device)

    def _velocity(self, latents: Tensor, step: int, text: tuple[Tensor, Tensor]) -> Tensor:
        """With classifier-free guidance, both branches in one batch."""
        with torch.autocast(latents.device.type, torch.bfloat16, enabled=self.training.mixed_precision == "bf16"):
            both = self.pipeline.transformer(
                hidden_states=torch.cat([latents, latents]),
                timestep=self.pipeline.scheduler.timesteps[step].expand(2 * len(latents)),
                encoder_hidden_states=text[0],
                pooled_projections=text[1],
                return_dict=False,
            )[0]
        without, with_text = both.float().chunk(2)
        return without + self.grpo.guidance_scale * (with_text - without)

    def _decode(self, latents: Tensor) -> Tensor:
        """Images uint8 (B, 3, H, W)."""
        vae = self.pipeline.vae
        decoded = vae.decode(latents / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        return (self.pipeline.image_processor.postprocess(decoded, output_type="pt") * 255).round().to(torch.uint8)

    def _loss(self, batch: Collected, step: int, gain: Tensor) -> Tensor:
        """The clipped objective of one stochastic step of a batch."""
        sigma, following = self.pipeline.scheduler.sigmas[step : step + 2].tolist()
        velocity = self._velocity(batch.path[:, step], step, batch.text)
        mean, _ = cps(batch.path[:, step], velocity, sigma, following, self.grpo.noise_level)
        ratio = torch.exp(log_prob(batch.path[:, step + 1], mean) - batch.log_probs[:, step])
        clipped = torch.clamp(ratio, 1 - self.grpo.clip_range, 1 + self.grpo.clip_range)
        return torch.mean(torch.maximum(-gain * ratio, -gain * clipped))


def cps(x: Tensor, velocity: Tensor, sigma: float, following: float, eta: float) -> tuple[Tensor, float]:
    """Mean and standard deviation of a coefficients-preserving step from `sigma` to `following`."""
    std = following * math.sin(eta * math.pi / 2)
    clean, noise = x - velocity * sigma, x + velocity * (1 - sigma)
    return clean * (1 - following) + noise * math.sqrt(following**2 - std**2), std


def log_prob(reached: Tensor, mean: Tensor) -> Tensor:
    """What the released code calls the log-probability, (B,)."""
    return -((reached - mean) ** 2).mean(dim=(1, 2, 3))


def advantages(collected: list[Collected], limit: float) -> list[Tensor]:
    """Of each batch: rewards less the mean of their prompt's, over the standard deviation of all."""
    rewards = [batch.rewards.cpu().numpy() for batch in collected]
    spread, gains = np.concatenate(rewards).std() + 1e-4, []
    for batch, own in zip(collected, rewards, strict=True):
        group = [other for one, other in zip(collected, rewards, strict=True) if one.prompt == batch.prompt]
        gains.append(torch.from_numpy((own - np.concatenate(group).mean()) / spread).clamp(-limit, limit))
    return gains
