"""The ground truth of clips as a scorer: what the middle frame shows, and how the scene moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .scorer import World
from .videos import DIRECTIONS, SPEED
from .vocabulary import IMAGE_SIZE

STEPS = [(0, 0), *((dx * n * SPEED, dy * n * SPEED) for n in (1, 2, 3, 4) for dx, dy in DIRECTIONS)]
"""Ways that a picture may have moved from one frame to the next, in pixels right and down."""


class WorldClips:
    """Scores clips (B, F, 32, 32, 3) uint8 under captions of the world."""

    def __init__(self) -> None:
        self.still = World()

    def encode(self, images: np.ndarray, prompts: Sequence[str]) -> dict[str, Tensor]:
        """The four scores of `World` for the middle frame; motion_smoothness, steadiness and their mean with the rest.

        motion_smoothness: 1 / (1 + mean change of the speed in units of SPEED). steadiness: 1 - the mean difference of
        successive frames once the motion is taken out, against the clip's own contrast, so that a pale or blurred clip
        has no advantage. quality: the mean of scene_accuracy, crispness, motion_smoothness and steadiness.
        """
        columns = self.still.encode(images[:, images.shape[1] // 2], prompts)
        motion = [motion_of(clip) for clip in images]
        columns["motion_smoothness"] = torch.tensor([smoothness(steps) for steps, _ in motion], dtype=torch.float32)
        rest = torch.tensor([rest for _, rest in motion], dtype=torch.float32)
        columns["steadiness"] = (1 - rest).clamp(min=0)
        parts = ("scene_accuracy", "crispness", "motion_smoothness", "steadiness")
        return columns | {"quality": torch.stack([columns[part] for part in parts]).mean(dim=0)}


def motion_of(clip: np.ndarray) -> tuple[np.ndarray, float]:
    """Steps (F - 1, 2) in pixels between the frames of a clip uint8 (F, 32, 32, 3), and what they leave unexplained.

    A step is the one of STEPS that makes the frames agree best where they overlap; the rest is the mean absolute
    difference that is left, as a share of the clip's contrast: its mean absolute deviation from its mean colour.
    """
    frames = clip.astype(np.float32) / 255
    rests = np.array([[_difference(a, b, *step) for step in STEPS] for a, b in zip(frames, frames[1:], strict=False)])
    best = rests.argmin(axis=1)
    contrast = np.abs(frames - frames.mean(axis=(0, 1, 2))).mean()
    return np.array(STEPS)[best], float(rests.min(axis=1).mean() / max(contrast, 1e-3))


def smoothness(steps: np.ndarray) -> float:
    """1 for a steady speed; ½ where it changes by SPEED pixels from frame to frame on average."""
    changes = np.abs(np.diff(steps, axis=0)).sum(axis=1)
    return float(1 / (1 + changes.mean() / SPEED))


def _difference(before: np.ndarray, after: np.ndarray, right: int, down: int) -> float:
    """Mean absolute difference of two frames once the first is moved, over the pixels that both show."""
    size = IMAGE_SIZE
    rows, columns = (slice(max(0, by), size + min(0, by)) for by in (down, right))
    moved_rows, moved_columns = (slice(max(0, -by), size + min(0, -by)) for by in (down, right))
    return float(np.abs(after[rows, columns] - before[moved_rows, moved_columns]).mean())
