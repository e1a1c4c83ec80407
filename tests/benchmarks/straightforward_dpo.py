"""One optimiser step of Diffusion-DPO as its released trainers go about it, written afresh from public interfaces.

Each micro-batch is encoded anew, pixels by the VAE and captions by the text encoders; the reference may wait in the
memory of the CPU. What is random is handed in, so that both sides of a comparison compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workflow_scripts.lib.training.noise import StepDraw


@dataclass
class StraightforwardDPO:
    """Trains `network`, a UNet, against `reference` on pairs: pixels uint8 (N, 3, H, W), and the VAE's noise of each.

    `batch_size` pairs are taken at once; `offload` lets the reference wait on the CPU.
    """

    pipeline: object
    network: nn.Module
    reference: nn.Module
    schedule: object
    best: Tensor
    worst: Tensor
    noise_best: Tensor
    noise_worst: Tensor
    prompts: Sequence[str]
    optimizer: torch.optim.Optimizer
    beta: float
    max_grad_norm: float
    batch_size: int
    offload: bool
    arithmetic: torch.dtype | None

    def step(self, draw: StepDraw) -> dict[str, float]:
        """Accumulate gradients over all pairs and update; means over the pairs, and the norm of the gradient."""
        means = {"loss": 0.0, "best_error": 0.0, "worst_error": 0.0}
        for start in range(0, len(draw.index), self.batch_size):
            part = StepDraw(*(values[start : start + self.batch_size] for values in draw))
            share, found = len(part.index) / len(draw.index), self._losses(part)
            (share * found["loss"]).backward()
            means = {name: mean + share * found[name].item() for name, mean in means.items()}
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm).item()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return means | {"grad_norm": norm}

    def _losses(self, draw: StepDraw) -> dict[str, Tensor]:
        device = self.pipeline.device
        latents = self._encode(draw.index)
        noise, timesteps = draw.noise.to(device).repeat(2, 1, 1, 1), draw.timesteps.to(device).repeat(2)
        inputs = (self.schedule.add_noise(latents, noise, timesteps), timesteps, *self._texts(draw))
        error = self._errors(self.network, inputs, noise)
        with torch.no_grad():
            self.reference.to(device)
            reference_error = self._errors(self.reference, inputs, noise)
            if self.offload:
                self.reference.to("cpu")
        gained_best, gained_worst = (error - reference_error).chunk(2)
        loss = -F.logsigmoid(-0.5 * self.beta * (gained_best - gained_worst)).mean()
        best, worst = error.detach().chunk(2)
        return {"loss": loss, "best_error": best.mean(), "worst_error": worst.mean()}

    def _errors(self, network: nn.Module, inputs: tuple, noise: Tensor) -> Tensor:
        noisy, timesteps, text, added = inputs
        with torch.autocast(noisy.device.type, self.arithmetic, enabled=self.arithmetic is not None):
            predicted = network(noisy, timesteps, text, added_cond_kwargs=added).sample
        return (predicted.float() - noise).square().mean(dim=(1, 2, 3))

    @torch.no_grad()
    def _encode(self, index: Tensor) -> Tensor:
        """Scaled draws from the posterior (2B, C, h, w), best before worst."""
        vae = self.pipeline.vae
        pixels = torch.cat([self.best[index], self.worst[index]]).to(vae.device)
        found = vae.encode(pixels.to(vae.dtype) / 127.5 - 1).latent_dist
        noise = torch.cat([self.noise_best[index], self.noise_worst[index]]).to(vae.device)
        return (found.mean.float() + found.std.float() * noise) * vae.config.scaling_factor

    @torch.no_grad()
    def _texts(self, draw: StepDraw) -> tuple[Tensor, dict[str, Tensor]]:
        """Embeddings of the captions of (2B) images and, for SDXL, what goes with them."""
        captions = ["" if dropped else self.prompts[i] for i, dropped in zip(draw.index, draw.dropped, strict=True)]
        found = self.pipeline.encode_prompt(
            prompt=captions, device=self.pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        text = found[0].float().repeat(2, 1, 1)
        if len(found) == 2:
            return text, {}
        height, width = self.best.shape[-2:]
        ids = torch.tensor([[height, width, 0, 0, height, width]], device=text.device, dtype=torch.float32)
        return text, {"text_embeds": found[2].float().repeat(2, 1), "time_ids": ids.repeat(len(text), 1)}
