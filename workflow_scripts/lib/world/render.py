"""Drawing a scene."""

from __future__ import annotations

import numpy as np

from .atlas import WORD_HEIGHT, drawn_word, sprite
from .scenes import Scene
from .vocabulary import BACKGROUNDS, IMAGE_SIZE, PLACES

LAYOUTS = {"two": ((0, 8), (16, 8)), "both": ((0, 8), (16, 8)), "three": ((0, 0), (16, 0), (8, 16))}


def render(scene: Scene, rng: np.random.Generator | None = None) -> np.ndarray:
    """Draw a scene as (32, 32, 3) float32 in [0, 1]; an open place is drawn from `rng` (without one: the middle)."""
    canvas = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), np.float32)
    canvas[:] = np.asarray(BACKGROUNDS[scene.background], np.float32) / 255
    if scene.kind == "word":
        return _paste(canvas, drawn_word(scene.word), (0, (IMAGE_SIZE - WORD_HEIGHT) // 2))
    if scene.kind == "one":
        return _paste(canvas, sprite(scene.nouns[0], 24, scene.style), PLACES[settled_place(scene, rng)])
    for noun, corner in zip(scene.nouns, LAYOUTS[scene.kind], strict=True):
        _paste(canvas, sprite(noun, 16, scene.style), corner)
    return canvas


def settled_place(scene: Scene, rng: np.random.Generator | None) -> str:
    """The stated place of a single sprite, or one drawn from `rng`."""
    if scene.place is not None or rng is None:
        return scene.place or "the middle"
    return list(PLACES)[rng.integers(len(PLACES))]


def _paste(canvas: np.ndarray, rgba: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    x, y = corner
    height, width = rgba.shape[:2]
    window, alpha = canvas[y : y + height, x : x + width], rgba[..., 3:]
    window += alpha * (rgba[..., :3] - window)
    return canvas


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float pictures in [0, 1] as 8-bit levels."""
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
