"""What SFT and Diffusion-DPO minimise: functions of the denoiser's errors on noised latents of examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .denoiser import Denoiser, predict
from .dpo import dpo_loss, prediction_error
from .examples import Examples, conditioning
from .noise import StepDraw, targets


class DenoisingErrors:
    """Errors of a denoiser and its reference on noised latents of examples."""

    def __init__(self, denoiser: Denoiser, examples: Examples, scheduler, device) -> None:
        self.denoiser, self.examples, self.scheduler, self.device = denoiser, examples, scheduler, device

    def of(self, latents: Tensor, draw: StepDraw, reference: bool = False) -> Tensor:
        """Mean squared prediction errors (B,), or (2B,) where `latents` stacks two images of each example in `draw`."""
        times = len(latents) // len(draw.index)
        noise, timesteps, index, dropped = (
            x.repeat(times, *[1] * (x.ndim - 1)) for x in (draw.noise, draw.timesteps, draw.index, draw.dropped)
        )
        latents, noise, timesteps = (x.to(self.device) for x in (latents, noise, timesteps))
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        target = targets(self.scheduler, latents, noise, timesteps)
        text = conditioning(self.examples, index, dropped, self.device)
        if reference:
            return prediction_error(self.denoiser.predict_reference(noisy, timesteps, **text), target)
        return prediction_error(predict(self.denoiser.network, noisy, timesteps, **text), target)


@dataclass(frozen=True)
class SFT:
    """The noise-prediction loss on the selected images (arXiv 2506.13846, Sec. 3.3)."""

    name, pairwise, from_base = "sft", False, False

    def means(self, errors: DenoisingErrors, draw: StepDraw) -> dict[str, Tensor]:
        """The `loss` of a micro-batch."""
        return {"loss": errors.of(errors.examples.best[draw.index], draw).mean()}


@dataclass(frozen=True)
class DPO:
    """Diffusion-DPO: the same timestep and the same noise for both images of a pair, which pass together.

    `reference` is what the policy is held to: previous (what training starts from) or base (the untouched model).
    """

    beta: float
    reference: str = "previous"

    name, pairwise = "dpo", True

    @property
    def from_base(self) -> bool:
        """Whether the reference is the untouched model."""
        return self.reference == "base"

    def means(self, errors: DenoisingErrors, draw: StepDraw) -> dict[str, Tensor]:
        """The `loss` of a micro-batch and what else is logged."""
        pairs = torch.cat([errors.examples.best[draw.index], errors.examples.worst[draw.index]])
        best, worst = errors.of(pairs, draw).chunk(2)
        reference_best, reference_worst = errors.of(pairs, draw, reference=True).chunk(2)
        loss, accuracy = dpo_loss(best, worst, reference_best, reference_worst, self.beta)
        return {"loss": loss, "implicit_accuracy": accuracy, "best_error": best.mean(), "worst_error": worst.mean()}
