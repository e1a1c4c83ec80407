"""VBench's total of a generator of clips (arXiv 2311.17982), from the scores of its sixteen dimensions.

Each score is normalised by a fixed range and weighted: seven dimensions are Quality, nine Semantic, and the total is
(4 · Quality + Semantic) / 5. Ranges and weights are those of `scripts/constant.py` in VBench's repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UserError
from .bootstrap import resample_counts, resample_indices

if TYPE_CHECKING:
    import pandas as pd


class Range(NamedTuple):
    """What a score is normalised by, and how much it counts among its kind."""

    low: float = 0.0
    high: float = 1.0
    weight: float = 1.0


QUALITY = {
    "subject_consistency": Range(0.1462),
    "background_consistency": Range(0.2615),
    "temporal_flickering": Range(0.6293),
    "motion_smoothness": Range(0.7060, 0.9975),
    "dynamic_degree": Range(weight=0.5),
    "aesthetic_quality": Range(),
    "imaging_quality": Range(),
}
SEMANTIC = {
    "object_class": Range(),
    "multiple_objects": Range(),
    "human_action": Range(),
    "color": Range(),
    "spatial_relationship": Range(),
    "scene": Range(high=0.8222),
    "appearance_style": Range(0.0009, 0.2855),
    "temporal_style": Range(high=0.3640),
    "overall_consistency": Range(high=0.3640),
}
DIMENSIONS = (*QUALITY, *SEMANTIC)
FLICKERING = "temporal_flickering"
"""The dimension that has prompts, and clips without motion, of its own."""
QUALITY_WEIGHT, SEMANTIC_WEIGHT = 4, 1
Score = float | np.ndarray


class Summary(NamedTuple):
    """VBench's three sums, in percent."""

    quality: Score
    semantic: Score
    total: Score


def summarise(scores: Mapping[str, Score]) -> Summary:
    """Quality, Semantic and total of raw scores by dimension (numbers, or arrays of one shape).

    UserError when a dimension is missing or unknown: VBench's own script counts a missing one as 0.
    """
    _require_all(scores)
    quality, semantic = (100 * _weighted_mean(scores, ranges) for ranges in (QUALITY, SEMANTIC))
    total = (QUALITY_WEIGHT * quality + SEMANTIC_WEIGHT * semantic) / (QUALITY_WEIGHT + SEMANTIC_WEIGHT)
    return Summary(quality, semantic, total)


def _require_all(scores: Mapping[str, Score]) -> None:
    if missing := [name for name in DIMENSIONS if name not in scores]:
        raise UserError(f"VBench's total needs all 16 dimensions; missing: {', '.join(missing)}; run evaluate_vbench")
    if unknown := [name for name in scores if name not in DIMENSIONS]:
        raise UserError(f"VBench has no dimension {', '.join(unknown)}; known: {', '.join(DIMENSIONS)}")


def _weighted_mean(scores: Mapping[str, Score], ranges: Mapping[str, Range]) -> Score:
    normalised = [one.weight * (scores[name] - one.low) / (one.high - one.low) for name, one in ranges.items()]
    return sum(normalised) / sum(one.weight for one in ranges.values())


def mean_scores(clips: pd.DataFrame) -> dict[str, float]:
    """Score of each dimension, the mean over its clips (columns dimension, prompt, score); NaN does not count."""
    means = clips.groupby("dimension", sort=False)["score"].mean()
    if len(undefined := means.index[means.isna()]):
        raise UserError(f"VBench's {', '.join(undefined)} is defined for no clip at all; look at the clips")
    return means.to_dict()


def total_bootstrap(clips: pd.DataFrame, num_resamples: int, seed: int) -> np.ndarray:
    """Totals (R,) of resamples of the suite's prompts, with all clips of a prompt in all its dimensions together.

    `clips` has at least a row for every prompt of every dimension (score NaN where the dimension is not defined), so
    that the draws depend on the suite alone and differences of two policies are paired.
    """
    prompts = sorted(clips["prompt"].unique())
    counts = resample_counts(resample_indices(len(prompts), num_resamples, seed))
    place = {prompt: number for number, prompt in enumerate(prompts)}
    scores = {}
    for dimension, rows in clips.dropna(subset="score").groupby("dimension"):
        cluster = rows["prompt"].map(place).to_numpy()
        sums, sizes = (np.bincount(cluster, w, minlength=len(prompts)) for w in (rows["score"].to_numpy(), None))
        with np.errstate(invalid="ignore"):
            scores[dimension] = (counts @ sums) / (counts @ sizes)
    return summarise(scores).total
