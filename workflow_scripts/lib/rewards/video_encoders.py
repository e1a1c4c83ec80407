"""Frozen encoders of clips: `encode(clips uint8 (B, F, H, W, 3))` -> {"features": (B, d)}, float32 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import UserError
from ..pixels import Preprocessing
from .encoders import CLIPVisionTokens, TinyFeatures, concatenate


def frames_of(clips: np.ndarray) -> np.ndarray:
    """All frames in a row, (B F, H, W, 3); UserError for images."""
    if not isinstance(clips, np.ndarray) or clips.ndim != 5:
        raise UserError("this model is for clips, but it was given images; choose a model of images for them")
    return clips.reshape(-1, *clips.shape[2:])


def over_time(features: Tensor, clips: np.ndarray) -> Tensor:
    """[mean over the frames ‖ mean absolute change from frame to frame] of features (B F, d) of clips: (B, 2d).

    The change shows what a mean hides: flicker, and motion that is not smooth.
    """
    of_clips = features.unflatten(0, clips.shape[:2])
    return torch.cat([of_clips.mean(dim=1), of_clips.diff(dim=1).abs().mean(dim=1)], dim=1)


class FrameTokens(CLIPVisionTokens):
    """GAN-RM's CLIP features of images, for clips by an image encoder: [CLS ‖ mean of all tokens] over time."""

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 4d)}."""
        return {"features": over_time(super().encode(frames_of(images))["features"], images)}


class TinyClipFeatures(TinyFeatures):
    """Pooled features of a TinyFeatureExtractor over time, for the tiny Fréchet distance of clips."""

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 128)}."""
        return {"features": over_time(super().encode(frames_of(images))["features"], images)}


class ViCLIPTokens:
    """[CLS ‖ mean of all tokens] of ViCLIP's vision encoder (arXiv 2307.06942), after ln_post, before the projection.

    For ViT-B/16 these are 1,569 tokens of 8 frames, and 1,536 features as in Tab. 6 of GAN-RM. None of the code on the
    hub is run: the network is `viclip.ViCLIPVision`, and no token is masked, as in ViCLIP's `test=True`.
    """

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        from .viclip import MEAN, STD, load_viclip

        self.model = load_viclip(folder).to(device, dtype)
        self.preprocess = Preprocessing.square(self.model.resolution, mean=MEAN, std=STD)
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 2d)} of the network's number of frames, taken at equal distances."""
        frames = self.model.num_frames
        frames_of(images)
        taken = images[:, np.linspace(0, images.shape[1] - 1, frames).round().astype(int)]
        pixels = self.preprocess(frames_of(taken), self.device, self.dtype).unflatten(0, taken.shape[:2])
        return {"features": concatenate(self.model(pixels.transpose(1, 2)).float()).cpu()}


class I3DFeatures:
    """The 400 logits of I3D trained on Kinetics-400, the features of FVD (arXiv 1812.01717), as cd-fvd has them."""

    SIZE = (224, 224)

    def __init__(self, weights: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        from .i3d import load_i3d

        self.model, self.device = load_i3d(weights).to(device), device

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 400)}, always in float32; clips need at least 9 frames."""
        pixels = torch.from_numpy(frames_of(images)).to(self.device).permute(0, 3, 1, 2).float()
        resized = interpolate(pixels, size=self.SIZE, mode="bilinear", align_corners=False) / 127.5 - 1
        return {"features": self.model(resized.unflatten(0, images.shape[:2]).transpose(1, 2)).cpu()}
