"""Disjoint splits of all captions, and drawing scenes from a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ..errors import UserError
from ..seeds import seed_of
from .scenes import Scene, all_scenes, compounds

# Share of all captions that belongs to each split; a caption belongs to exactly one.
SPLITS = {
    "train": 0.20,
    "pool": 0.08,
    "validation": 0.12,
    "negatives": 0.10,
    "eval": 0.20,
    "proxies": 0.14,
    "references": 0.16,
}
KIND_WEIGHTS = {"one": 0.45, "two": 0.15, "three": 0.15, "both": 0.15, "word": 0.10}
COMPOUND_WEIGHTS = {"compound": 1.0}


def split_of(scene: Scene) -> str:
    """The split a scene belongs to, by a hash of its caption."""
    position = seed_of("split", scene.caption()) / 2**63
    for name, share in SPLITS.items():
        if position < share:
            return name
        position -= share
    return name


@cache
def scenes_of(split: str, pairs: str | None = None, style: str = "colour") -> dict[str, list[Scene]]:
    """All scenes of safe sprites of a split by kind; with `pairs`, "unsafe" or "safe", compounds of that sort."""
    if split not in SPLITS:
        raise UserError(f"the tiny world has no split {split!r}; known: {', '.join(SPLITS)}")
    everything = compounds(pairs == "unsafe", style) if pairs else all_scenes(style=style)
    scenes = [scene for scene in everything if split_of(scene) == split]
    return {kind: [scene for scene in scenes if scene.kind == kind] for kind in _weights(pairs)}


def draw_scenes(
    split: str | Sequence[str],
    count: int,
    seed: int,
    pairs: str | None = None,
    style: str = "colour",
    wanted: Callable[[Scene], bool] = lambda scene: True,
) -> list[Scene]:
    """`count` different scenes of a split, kinds by their weights; a longer draw begins with the shorter one.

    Only `wanted` scenes are drawn. Several splits together are drawn from as if they were one.
    """
    splits = [split] if isinstance(split, str) else split
    rng = np.random.default_rng(seed_of("scenes", seed, "+".join(splits), pairs or "", style))
    left = {}
    for kind in _weights(pairs):
        scenes = [scene for one in splits for scene in scenes_of(one, pairs, style)[kind]]
        left[kind] = [scenes[i] for i in rng.permutation(len(scenes)) if wanted(scenes[i])]
    left = {kind: scenes for kind, scenes in left.items() if scenes}
    available = sum(map(len, left.values()))
    if count > available:
        raise UserError(
            f"{count} scenes asked of split {'+'.join(splits)!r}, which has {available} that fit; "
            "ask for fewer in the scale's file (prompts, or the data set's size)"
        )
    drawn = []
    while len(drawn) < count:
        weights = np.array([_weights(pairs)[kind] if scenes else 0 for kind, scenes in left.items()])
        drawn.append(left[rng.choice(list(left), p=weights / weights.sum())].pop())
    return drawn


def _weights(pairs: str | None) -> dict[str, float]:
    return COMPOUND_WEIGHTS if pairs else KIND_WEIGHTS
