"""Synthetic human-like preferences: two pictures of a caption, the better first."""

from __future__ import annotations

import numpy as np

from .quality import CRISP, Quality, degrade, draw_quality
from .render import render
from .scenes import Scene
from .vocabulary import BACKGROUNDS


def preferred_pair(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two renderings (32, 32, 3) in [0, 1]: the first less spoilt, or equally good and, unlike the other, as asked."""
    good = CRISP if rng.random() < 0.5 else _lighter(draw_quality(rng, 0.0))
    shown = scene if rng.random() < 0.7 else _other_background(scene, rng)
    return degrade(render(scene, rng), good, rng), degrade(render(shown, rng), draw_quality(rng, 0.0), rng)


def _lighter(quality: Quality) -> Quality:
    return Quality(quality.blur / 2, quality.wash / 2, quality.noise / 2)


def _other_background(scene: Scene, rng: np.random.Generator) -> Scene:
    others = [name for name in BACKGROUNDS if name != scene.background]
    return Scene(others[rng.integers(len(others))], scene.nouns, scene.place, scene.word, scene.style)
