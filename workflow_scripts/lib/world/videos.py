"""Scenes in motion: a clip is a picture that slides at a steady speed over its background."""

from __future__ import annotations

import numpy as np

from .render import render
from .scenes import Scene
from .vocabulary import BACKGROUNDS, IMAGE_SIZE

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
SPEED = 4  # pixels a frame: the grid on which a small latent model learns (a latent is 4 × 4 pixels)


def offsets(num_frames: int) -> list[int]:
    """Pixels that a frame is away from the still picture, which is the middle frame, number num_frames // 2."""
    return [SPEED * (i - num_frames // 2) for i in range(num_frames)]


def render_clip(scene: Scene, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """The scene sliding in one of four directions, (num_frames, 32, 32, 3) float32 in [0, 1]."""
    still, background = render(scene, rng), np.asarray(BACKGROUNDS[scene.background], np.float32) / 255
    dx, dy = DIRECTIONS[rng.integers(4)]
    return np.stack([slide(still, offset * dx, offset * dy, background) for offset in offsets(num_frames)])


def slide(image: np.ndarray, right: int, down: int, background: np.ndarray) -> np.ndarray:
    """An image (32, 32, 3) moved by whole pixels; what it uncovers shows the background (3,)."""
    rows, columns = (np.arange(IMAGE_SIZE) - moved for moved in (down, right))
    inside = np.logical_and.outer(*((places >= 0) & (places < IMAGE_SIZE) for places in (rows, columns)))
    return np.where(inside[..., None], image[rows[:, None] % IMAGE_SIZE, columns % IMAGE_SIZE], background)
