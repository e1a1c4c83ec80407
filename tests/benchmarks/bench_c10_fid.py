"""C10: the Fréchet distance of one more model against clean-fid's `fid_from_feats`, at the width of Inception.

Both sides start from the same cached features. clean-fid fits both Gaussians and takes `sqrtm` for every model; here
the reference is fitted once (its seconds are reported), a model costs its own Gaussian and `eigvalsh`. The bootstrap
has no counterpart there: its milliseconds per resample are reported.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics import fid
from workflow_scripts.lib.metrics.bootstrap import resample_counts, resample_indices

from .common import Comparison, compare, report

WIDTH, GOAL, TOLERANCE, ROUNDS = 2048, 7, 1e-6, 5
IMAGES = (1000, 5000)
BOOTSTRAPS = ((128, 64, 1000), (1000, WIDTH, 20))  # images, width, resamples: tiny scale, and part of paper scale's


def features(count: int, width: int, seed: int) -> np.ndarray:
    """Non-negative, correlated features (count, width), float32, with a decaying spectrum."""
    spectrum = np.arange(1, width + 1)[:, None] ** -0.5
    mixing = np.random.default_rng(width).standard_normal((width, width)) * spectrum
    random = np.random.default_rng(seed)
    return np.maximum(random.standard_normal((count, width)) @ mixing + 0.1 * seed, 0).astype(np.float32)


def main() -> None:
    warnings.simplefilter("ignore")  # scipy on sqrtm: deprecated argument, singular matrices
    results, about = [], {}
    for count in IMAGES:
        result, about[f"reference_seconds_{count}"] = _against_clean_fid(count)
        results.append(result)
    for count, width, resamples in BOOTSTRAPS:
        seconds = _bootstrap_seconds(count, width, resamples)
        about[f"bootstrap_ms_per_resample_{count}x{width}"] = 1000 * seconds / resamples
        print(f"bootstrap of {count} images, width {width}: {resamples} resamples in {seconds:.2f} s")
    report("c10_fid", results, width=WIDTH, tolerance=TOLERANCE, **about)


def _against_clean_fid(count: int) -> tuple[Comparison, float]:
    """The comparison for `count` images of a model and as many references, and the seconds of fitting the reference."""
    from cleanfid.fid import fid_from_feats

    model, references = (features(count, WIDTH, seed).astype(np.float64) for seed in (0, 1))
    seconds, reference = _timed(lambda: fid.fit_gaussian(references))
    result = compare(
        f"clean-fid / ours, {count} images",
        lambda: fid.frechet_distance(fid.fit_gaussian(model), reference),
        lambda: fid_from_feats(model, references),
        same=lambda ours, theirs: math.isclose(ours, theirs, rel_tol=TOLERANCE),
        goal=GOAL,
        speedup=True,
        rounds=ROUNDS,
    )
    return result, seconds


def _bootstrap_seconds(count: int, width: int, resamples: int) -> float:
    model, reference = features(count, width, 0), fid.fit_gaussian(features(count, width, 1))
    counts = resample_counts(resample_indices(count, resamples, 0))
    return _timed(lambda: fid.frechet_bootstrap(model, reference, counts))[0]


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
