"""Ground truth: what an image shows, by template matching against every scene the world can draw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .render import render
from .scenes import Scene, drawable_scenes
from .vocabulary import STYLES


@dataclass(frozen=True)
class Detection:
    """An image's best matching scene, its cosine similarity, how crisp the details are (1 as drawn, 0 none left)."""

    scene: Scene
    similarity: float
    crispness: float


@cache
def _templates() -> tuple[list[Scene], np.ndarray]:
    scenes = [scene for style in STYLES for scene in drawable_scenes(style)]
    images = np.stack([render(scene) for scene in scenes])
    return scenes, images


@cache
def _directions() -> np.ndarray:
    """Unit vectors (T, 3072) of the templates about mid-gray: washing out leaves a direction unchanged."""
    return _unit(_templates()[1])


def _unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1) - 0.5
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-8)


def detect(images: np.ndarray) -> list[Detection]:
    """Read images (N, 32, 32, 3), uint8 or float in [0, 1]."""
    images = images.astype(np.float32) / 255 if images.dtype == np.uint8 else images
    scenes, templates = _templates()
    similarity = _unit(images) @ _directions().T
    best = similarity.argmax(axis=1)
    sharpness = crispness(images, templates[best])
    return [Detection(scenes[i], float(similarity[n, i]), float(sharpness[n])) for n, i in enumerate(best)]


def crispness(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Share of the clean rendering's edges that is left, (N,), in [0, 1].

    The image's differences are regressed on the clean one's and the slope clipped. Blur and washed-out colour lower it;
    noise, uncorrelated with the drawing, neither raises nor lowers it in the mean.
    """
    products = zip(_differences(images), _differences(clean), strict=True)
    both, own = np.sum(
        [((ours * theirs).sum(axis=(1, 2, 3)), (theirs**2).sum(axis=(1, 2, 3))) for ours, theirs in products], axis=0
    )
    return np.clip(both / own, 0, 1)


def _differences(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.diff(images, axis=1), np.diff(images, axis=2)


def shows(detected: Scene, asked: Scene) -> bool:
    """Whether what is seen is what was asked for; an open place is right wherever the sprite stands."""
    return (
        detected.background == asked.background
        and detected.nouns == asked.nouns
        and detected.word == asked.word
        and detected.style == asked.style
        and asked.place in (None, detected.place)
    )


def shows_subject(detected: Scene, asked: Scene) -> bool:
    """Whether sprites (in any number and order) and background are right."""
    return (
        detected.background == asked.background
        and set(detected.nouns) == set(asked.nouns)
        and detected.word == asked.word
    )


AGREEMENTS = ("objects", "count", "colour", "position")


def agreement(detected: Scene, asked: Scene) -> tuple[bool, bool, bool, bool]:
    """Whether each of AGREEMENTS is as asked: nouns or word, their number, background, places and order.

    The order is that of the nouns themselves, so with the wrong objects it is wrong, too.
    """
    order, wanted = (list(dict.fromkeys(scene.nouns)) for scene in (detected, asked))
    return (
        set(detected.nouns) == set(asked.nouns) and detected.word == asked.word,
        len(detected.nouns) == len(asked.nouns),
        detected.background == asked.background,
        asked.place in (None, detected.place) and order == wanted,
    )
