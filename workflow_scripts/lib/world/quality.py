"""The quality knobs: blur, washed-out colour and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quality:
    """How a rendering is spoilt: blur (sigma in pixels), colours drawn to mid-gray (share), white noise (deviation)."""

    blur: float = 0.0
    wash: float = 0.0
    noise: float = 0.0


CRISP = Quality()
CRISP_SHARE = 0.30  # of pictures of mixed quality: what the tiny SD1.5 learns from, and data sets of that quality
BLUR_LEVELS = (0.0, 0.6, 0.9, 1.2, 1.5)


def degrade(image: np.ndarray, quality: Quality, rng: np.random.Generator) -> np.ndarray:
    """Spoil an image (H, W, 3) in [0, 1]."""
    return np.clip(
        wash(blur(image, quality.blur), quality.wash) + quality.noise * rng.standard_normal(image.shape, np.float32),
        0,
        1,
    )


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of the two axes before the last; edges replicated."""
    from scipy.ndimage import gaussian_filter

    if not sigma:
        return image
    sigmas = (0,) * (image.ndim - 3) + (sigma, sigma, 0)
    return gaussian_filter(image, sigmas, mode="nearest")


def wash(image, share):
    """Draw colours towards mid-gray; works on arrays and tensors."""
    return 0.5 + (image - 0.5) * (1 - share)


def draw_quality(rng: np.random.Generator, crisp_share: float) -> Quality:
    """A quality as in the base generators' data: crisp with probability `crisp_share`, else some blur, wash, noise."""
    if rng.random() < crisp_share:
        return CRISP
    return Quality(
        BLUR_LEVELS[rng.integers(1, len(BLUR_LEVELS))], float(rng.uniform(0, 0.6)), float(rng.uniform(0, 0.03))
    )
