"""The signs of reward hacking of `metrics.hacking` as a scorer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..metrics.hacking import colour_entropy, dark_pixels, edge_density
from .pixels import Images, to_numpy


class ImageStatistics:
    """Dark pixels, edge density and colour entropy of images; no prompt is read."""

    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"dark_pixels", "edge_density", "colour_entropy"}, each (B,), of images uint8 (B, H, W, 3)."""
        pixels = to_numpy(images)
        columns = {measure.__name__: measure(pixels) for measure in (dark_pixels, edge_density, colour_entropy)}
        return {name: torch.from_numpy(values).float() for name, values in columns.items()}
