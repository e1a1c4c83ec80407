"""Scorers of clips: what VBench (arXiv 2311.17982) calls consistency and flickering, and distances to target frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ..errors import UserError
from ..files import sha256
from ..pickles import read_tensors
from ..pixels import Preprocessing
from ..seeds import seed_of
from .encoders import TinyFeatures, from_pretrained
from .video_encoders import frames_of

if TYPE_CHECKING:
    from ..shards import Collection


LPIPS_HEADS = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
"""SHA-256 of the linear layers within the package `lpips`."""


class FrameConsistency:
    """Two dimensions of VBench: subject_consistency by a vision transformer's CLS tokens, temporal_flickering.

    VBench's own network is DINO ViT-B/16. It sees whole frames, whatever their proportions, resized bilinearly and
    without antialiasing. The folder may also hold a CLIP, whose vision tower is then taken.
    """

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        from transformers import AutoConfig, CLIPVisionModel, ViTModel

        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        is_clip = config.model_type.startswith("clip")
        kind, more = (CLIPVisionModel, {}) if is_clip else (ViTModel, {"add_pooling_layer": False})  # DINO has none
        self.model = from_pretrained(kind, folder, device, dtype, **more)
        self.preprocess = replace(Preprocessing.from_folder(folder), mode="bilinear", antialias=False)

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"subject_consistency": (B,), "temporal_flickering": (B,)} of clips (B, F, H, W, 3)."""
        pixels = self.preprocess(frames_of(images), self.model.device, self.model.dtype)
        tokens = self.model(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0].float().cpu()
        tokens = tokens.unflatten(0, images.shape[:2])
        return {"subject_consistency": subject_consistency(tokens), "temporal_flickering": temporal_flickering(images)}


def subject_consistency(features: Tensor) -> Tensor:
    """Features (B, F, d) -> (B,): mean over frames 1, 2, … of the mean cosine to the frame before and to frame 0."""
    to_previous = cosine_similarity(features[:, 1:], features[:, :-1], dim=2).clamp(min=0)
    to_first = cosine_similarity(features[:, 1:], features[:, :1], dim=2).clamp(min=0)
    return ((to_previous + to_first) / 2).mean(dim=1)


def temporal_flickering(clips: np.ndarray) -> Tensor:
    """Clips uint8 (B, F, H, W, 3) -> (B,): 1 - mean absolute difference of successive frames / 255; 1 is none."""
    change = torch.from_numpy(clips).float().diff(dim=1).abs().flatten(1).mean(dim=1)
    return 1 - change / 255


class FrameDistance:
    """Distance of a clip to target clips: mean over frames of each against a random frame of a random target.

    `compare_with` gives the targets. The pairs are drawn from the prompt, so every policy is compared with the same.
    """

    metric: str
    PAIRS = 4
    targets: Collection | None = None

    def compare_with(self, targets: Collection) -> None:
        """Use the clips of a collection as targets."""
        self.targets, self._keys = targets, targets.index()["key"].tolist()

    @torch.inference_mode()
    def encode(self, images: np.ndarray, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{metric: (B,)} of clips (B, F, H, W, 3) under their prompts."""
        if self.targets is None:
            raise UserError(
                f"{self.metric} compares with target clips: give the metric a `reference` in the scale's file"
            )
        pairs = [self._pairs(clip, prompt) for clip, prompt in zip(images, prompts, strict=True)]
        ours, theirs = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        return {self.metric: self.distance(ours, theirs).unflatten(0, (len(images), -1)).mean(dim=1)}

    def distance(self, ours: np.ndarray, theirs: np.ndarray) -> Tensor:
        """Distances (N,) of frames uint8 (N, H, W, 3) and as many others."""
        raise NotImplementedError

    def _pairs(self, clip: np.ndarray, prompt: str) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed_of("frame pairs", prompt))
        keys = [self._keys[i] for i in rng.integers(len(self._keys), size=self.PAIRS)]
        targets = [target for _, target in self.targets.images(keys)]
        own = [clip[i] for i in rng.integers(len(clip), size=self.PAIRS)]
        return np.stack(own), np.stack(
            [target[i] for target, i in zip(targets, rng.integers(len(clip), size=self.PAIRS), strict=True)]
        )


class LPIPS(FrameDistance):
    """LPIPS (arXiv 1801.03924) as the package `lpips` 0.1 computes it, by torchvision's AlexNet."""

    metric = "lpips"

    def __init__(self, weights: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        import lpips

        heads = Path(lpips.__file__).parent / "weights/v0.1/alex.pth"
        if sha256(heads) != LPIPS_HEADS:
            raise UserError(f"{heads} is not what lpips 0.1 was published with; install the package anew")
        self.model = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)  # its linear layers lie in the package
        layers = read_tensors(weights)
        own = self.model.net.state_dict()
        named = {name: layers["features." + name.split(".", 1)[1]] for name in own}
        self.model.net.load_state_dict(named)
        self.model, self.device = self.model.eval().requires_grad_(False).to(device), device

    def distance(self, ours: np.ndarray, theirs: np.ndarray) -> Tensor:
        """Frames in [-1, 1] at their own size."""
        first, second = (
            torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
            for frames in (ours, theirs)
        )
        return self.model(first, second).flatten().float().cpu()


class FeatureDistance(FrameDistance):
    """Squared distance of unit features of a TinyFeatureExtractor, in the place of LPIPS but not on its scale."""

    metric = "feature_distance"

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.features = TinyFeatures(folder, device, dtype)

    def distance(self, ours: np.ndarray, theirs: np.ndarray) -> Tensor:
        first, second = (normalize(self.features.encode(frames)["features"], dim=1) for frames in (ours, theirs))
        return (first - second).square().sum(dim=1)
