"""Ground truth of style: is the scene of a caption drawn as line art or in colour, however spoilt the drawing is?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..errors import UserError
from .quality import BLUR_LEVELS, blur
from .render import render
from .scenes import Scene
from .vocabulary import BACKGROUNDS, PLACES


def line_art_margin(images: np.ndarray, asked: Sequence[Scene]) -> np.ndarray:
    """Cosine of images (N, 32, 32, 3) uint8 to the line art of the scenes, less that to their colour drawing, (N,).

    Backgrounds are taken off first (of an image its median colour), and each style may be blurred as the zoo's training
    data are. So neither pale colours nor soft edges decide: `detect` takes a pale blurred sprite for thin outlines.
    0 for words, which look the same in both styles. UserError for a scene that cannot be drawn.
    """
    return np.array([_margin(image, scene) for image, scene in zip(images, asked, strict=True)], np.float32)


def _margin(image: np.ndarray, asked: Scene) -> float:
    pixels = image.reshape(-1, 3).astype(np.float32)
    shape = _unit((pixels - np.median(pixels, axis=0)).reshape(1, -1))[0]
    line_art, colour = ((drawings @ shape).max() for drawings in _drawings(replace(asked, style="colour")))
    return float(line_art - colour)


@lru_cache(maxsize=1024)
def _drawings(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (places × blurs, 3072) of a scene's drawings less its background: as line art, in colour."""
    if scene.kind == "compound":
        raise UserError(f"{scene.caption()!r} cannot be drawn, so it has no style; ask for scenes of the world")
    background = np.asarray(BACKGROUNDS[scene.background], np.float32) / 255
    places = PLACES if scene.kind == "one" and scene.place is None else [scene.place]

    def drawn(style: str) -> np.ndarray:
        clean = np.stack([render(replace(scene, style=style, place=place)) for place in places]) - background
        return _unit(np.concatenate([blur(clean, sigma) for sigma in BLUR_LEVELS]).reshape(-1, clean[0].size))

    return drawn("line art"), drawn("colour")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-8)
