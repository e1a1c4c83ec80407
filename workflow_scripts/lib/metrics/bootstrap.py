"""Paired bootstrap over prompts.

A prompt is the unit that is resampled; several values of one prompt are averaged first (`per_prompt`). The draws depend
on the number of prompts and the seed alone, so resample i holds the same prompts for every policy, and differences of
bootstrap columns are paired differences.

A resample holds duplicates, which raise Fréchet and kernel distances above what as many distinct images would give.
`centred` moves such a column onto the point estimate before quantiles are taken: the spread is the bootstrap's, the
location the sample's. A difference of centred columns is centred on the difference of the point estimates. Such
intervals are conservative (with 128 images, 95 % intervals of differences held the truth in 98 to 99 % of simulations),
and they speak of the distance at this number of images, against this reference set.
"""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A value with the bounds of its confidence interval."""

    value: float
    ci_low: float
    ci_high: float


def resample_indices(num_prompts: int, num_resamples: int, seed: int) -> np.ndarray:
    """Indices (R, P) of the prompts in each resample, drawn with replacement."""
    return np.random.default_rng(seed).integers(num_prompts, size=(num_resamples, num_prompts))


def resample_counts(indices: np.ndarray) -> np.ndarray:
    """How often each prompt is drawn, (R, P) float64; rows sum to P."""
    num_resamples, num_prompts = indices.shape
    cells = indices + np.arange(num_resamples)[:, None] * num_prompts
    counts = np.bincount(cells.ravel(), minlength=num_resamples * num_prompts)
    return counts.reshape(num_resamples, num_prompts).astype(np.float64)


def per_prompt(prompt_ids: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct prompt ids (P,), ascending, and the mean (P,) of each prompt's values (N,), which are resampled.

    A missing value (NaN) does not count; a prompt without any stays NaN.
    """
    prompts, cluster = np.unique(prompt_ids, return_inverse=True)
    present = ~np.isnan(values)
    sums = np.bincount(cluster, np.where(present, values, 0.0), minlength=len(prompts))
    with np.errstate(invalid="ignore"):
        return prompts, sums / np.bincount(cluster, present, minlength=len(prompts))


def mean_bootstrap(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means (R,) of resamples of values (P,) under counts (R, P); prompts without a value (NaN) are left out."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return counts @ np.where(present, values, 0.0) / (counts @ present)


def centred(column: np.ndarray, point: float) -> np.ndarray:
    """A bootstrap column (R,) moved so that its mean is the point estimate; for statistics biased by duplicates."""
    return column - np.nanmean(column) + point


def interval(value: float, column: np.ndarray, confidence: float = 0.95) -> Estimate:
    """The percentile interval of a bootstrap column (R,) around a point estimate."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(column, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


def paired_difference(value: float, other: float, column: np.ndarray, other_column: np.ndarray) -> Estimate:
    """value - other with the interval of the paired columns (R,), which must come from the same draws."""
    if len(column) != len(other_column):
        raise ValueError(f"paired columns must have one length, got {len(column)} and {len(other_column)}")
    return interval(value - other, column - other_column)


def spearman(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of x (n,) with each row of y (..., n).

    Ties share their mean rank; a constant side makes it NaN.
    """
    from scipy.stats import rankdata

    a, b = rankdata(x), rankdata(y, axis=-1)
    a, b = a - a.mean(), b - b.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        return (b @ a) / np.sqrt((a @ a) * np.square(b).sum(axis=-1))
