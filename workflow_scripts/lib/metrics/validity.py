"""Is the reward right? Held-out accuracy as a discriminator, and agreement with other judges of the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import bootstrap

if TYPE_CHECKING:
    import pandas as pd


def held_out(history: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Last held-out accuracy and AUC (proxy against generated) of each stage of a reward's training."""
    for stage, record in {record["stage"]: record for record in history}.items():
        for name in ("accuracy", "auc"):
            yield {"judge": f"held-out proxies ({stage})", "measure": name, "value": record[f"held_out_{name}"]}


def agreement(
    rewards: pd.Series, judge: pd.Series, prompt_ids: np.ndarray, resamples: int, seed: int
) -> Iterator[dict]:
    """How the reward orders the K samples of a prompt against a judge's scores (both (N,), in one order of images).

    `rank correlation`: Spearman's rho within each prompt, averaged; `pairwise accuracy`: share of pairs of a prompt
    that both order alike (ties of the judge left out); intervals by a bootstrap over prompts.
    """
    groups = [np.flatnonzero(prompt_ids == prompt) for prompt in np.unique(prompt_ids)]
    ours, theirs = rewards.to_numpy(np.float64), judge.to_numpy(np.float64)
    per_prompt = {
        "rank correlation": [bootstrap.spearman(ours[rows], theirs[rows]) for rows in groups],
        "pairwise accuracy": [pairwise_accuracy(ours[rows], theirs[rows]) for rows in groups],
    }
    counts = bootstrap.resample_counts(bootstrap.resample_indices(len(groups), resamples, seed))
    for measure, values in per_prompt.items():
        values = np.array(values, np.float64)
        estimate = bootstrap.interval(np.nanmean(values), bootstrap.mean_bootstrap(values, counts))
        yield {"judge": judge.name, "measure": measure, **estimate._asdict(), "n": int((~np.isnan(values)).sum())}


def pairwise_accuracy(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of pairs with different `theirs` (n,) that `ours` (n,) orders alike; NaN without such a pair."""
    first, second = np.triu_indices(len(ours), 1)
    sign, judged = np.sign(ours[first] - ours[second]), np.sign(theirs[first] - theirs[second])
    kept = judged != 0
    return float((sign[kept] == judged[kept]).mean()) if kept.any() else float("nan")
