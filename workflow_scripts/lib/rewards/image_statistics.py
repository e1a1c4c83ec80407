"""The signs of reward hacking of `metrics.hacking` as a scorer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..metrics.hacking import colour_entropy, dark_pixels, edge_density
from ..pixels import Images, to_numpy


class ImageStatistics:
    """Dark pixels, edge density and colour entropy of images; no prompt is read."""

    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"dark_pixels", "edge_density", "colour_entropy"}, each (B,), of images uint8 (B, H, W, 3)."""
        pixels = [image[None] for image in to_numpy(images)]
        return {
            measure.__name__: torch.from_numpy(np.concatenate([measure(image) for image in pixels])).float()
            for measure in (dark_pixels, edge_density, colour_entropy)
        }
