"""InceptionV3 features as clean-fid computes them, from local weights and batched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import UserError
from ..pickles import read_tensors
from ..pixels import Images

CLEAN, LEGACY = "inception-2015-12-05.pt", "pt_inception-2015-12-05-6726825d.pth"
SIZE = (299, 299)


class InceptionFeatures:
    """The 2048 features of FID, in the mode of clean-fid that the file of weights belongs to.

    CLEAN: antialiased bicubic resize and the TorchScript network ("clean"); LEGACY: pytorch-fid's resize and network
    ("legacy_pytorch"). UserError for any other file.
    """

    def __init__(self, weights: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        builders = {CLEAN: _clean, LEGACY: _legacy}
        if weights.name not in builders:
            raise UserError(f"{weights} is no file of Inception weights; known: {', '.join(builders)}")
        self.is_clean, self.device = weights.name == CLEAN, device
        self.model = builders[weights.name](weights).eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 2048)} float32; always computed in float32, as FID is defined."""
        pixels = torch.cat([self._resized(np.asarray(image)[None]) for image in images])
        if self.is_clean:
            return {"features": self.model(pixels).float().cpu()}
        return {"features": self.model(pixels / 255)[0].flatten(1).float().cpu()}

    def _resized(self, images: np.ndarray) -> Tensor:
        """(B, 3, 299, 299) in [0, 255], not quantised (Parmar et al., arXiv 2104.11222, and clean-fid's resize.py)."""
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()
        options = {"mode": "bicubic", "antialias": True} if self.is_clean else {"mode": "bilinear"}
        return interpolate(pixels, size=SIZE, align_corners=False, **options).clamp_(0, 255)


def _clean(weights: Path) -> nn.Module:
    from cleanfid.inception_torchscript import InceptionV3W

    return InceptionV3W(str(weights.parent), download=False)


def _legacy(weights: Path) -> nn.Module:
    """pytorch-fid's network; its constructor fetches weights by URL, here it gets the local file."""
    from cleanfid import inception_pytorch

    def local(*_: object, **__: object) -> dict[str, Tensor]:
        return read_tensors(weights)

    with patch.object(inception_pytorch, "load_state_dict_from_url", local):
        return inception_pytorch.InceptionV3(output_blocks=[3], resize_input=False)
