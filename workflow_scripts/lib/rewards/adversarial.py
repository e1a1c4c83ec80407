"""The adversarial part of Adv-GRPO (arXiv 2511.20256) as pure functions: losses, augmentation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus


def bradley_terry_loss(reference: Tensor, generated: Tensor) -> Tensor:
    """-log σ(reference - generated), the mean over pairs: cross-entropy over the two scores of a pair, as coded."""
    return softplus(generated - reference).mean()


def bce_loss(reference: Tensor, generated: Tensor) -> Tensor:
    """-log σ(reference) - log(1 - σ(generated)), the means of both: Eq. 6, R being σ of the score."""
    return softplus(-reference).mean() + softplus(generated).mean()


def hinge_loss(reference: Tensor, generated: Tensor) -> Tensor:
    """½ [max(0, 1 - reference) + max(0, 1 + generated)], the means of both."""
    return (relu(1 - reference).mean() + relu(1 + generated).mean()) / 2


LOSSES = {"bradley_terry": bradley_terry_loss, "bce": bce_loss, "hinge": hinge_loss}


def jitter_factors(count: int, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness and contrast (2, B) of as many images, uniform in 1 ± strength."""
    return 1 + strength * (2 * torch.rand(2, count, generator=generator) - 1)


def colour_jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] with their own brightness and contrast, by `factors` (2, B).

    As torchvision defines them: brightness multiplies, contrast moves pixels from the mean grey; brightness first.
    """
    brightness, contrast = factors.to(images.device).view(2, -1, 1, 1, 1)
    brighter = (images * brightness).clamp(0, 1)
    weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    grey = (brighter * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    return (contrast * brighter + (1 - contrast) * grey).clamp(0, 1)
