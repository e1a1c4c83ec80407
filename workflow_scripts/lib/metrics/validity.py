"""Is a reward right? Held-out accuracy, coverage of its proxies, what it varies with, agreement with other judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import bootstrap
from .coverage import precision_recall

if TYPE_CHECKING:
    import pandas as pd


def held_out(history: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Last held-out accuracy and AUC (proxy against generated) of each stage of a reward's training."""
    for stage, record in {record["stage"]: record for record in history}.items():
        for name in ("accuracy", "auc"):
            yield {"judge": f"held-out proxies ({stage})", "measure": name, "value": record[f"held_out_{name}"]}


def proxy_coverage(proxies: np.ndarray, references: np.ndarray) -> Iterator[dict[str, Any]]:
    """Precision and recall of the proxies (N, d) against the references (M, d), as the reward's encoder sees them.

    A low recall says that the references hold what the proxies lack: the reward will take it for a generator's fault.
    """
    for measure, value in precision_recall(proxies, references)._asdict().items():
        yield {"judge": "proxies against references", "measure": measure, "value": value, "n": len(proxies)}


def content_share(rewards: pd.Series, prompt_ids: np.ndarray, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    """Share of the rewards' variance (N,) that lies between prompts, with its interval from a bootstrap over prompts.

    Near 1 the reward tells contents apart rather than qualities; what ranks the samples of a prompt is the rest.
    """
    _, group, sizes = np.unique(prompt_ids, return_inverse=True, return_counts=True)
    values = rewards.to_numpy(np.float64)
    means = np.bincount(group, values) / sizes
    within = np.bincount(group, np.square(values - means[group]))
    counts = bootstrap.resample_counts(bootstrap.resample_indices(len(sizes), resamples, seed))
    value = intraclass_correlation(sizes, means, within, np.ones((1, len(sizes))))[0]
    estimate = bootstrap.interval(value, intraclass_correlation(sizes, means, within, counts))
    yield {"judge": "prompt", "measure": "intraclass correlation", **estimate._asdict(), "n": len(sizes)}


def intraclass_correlation(sizes: np.ndarray, means: np.ndarray, within: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """ICC(1) (R,) of a one-way analysis of variance (Shrout and Fleiss 1979), for groups taken `counts` (R, P) times.

    Each group has a size, a mean and a sum of squares within, all (P,). Negative values mean that groups differ less
    than chance would make them; NaN without any variance.
    """
    groups, total = counts.sum(axis=1), counts @ sizes
    grand = counts @ (sizes * means) / total
    between = ((counts * sizes) * np.square(means - grand[:, None])).sum(axis=1) / (groups - 1)
    inside = counts @ within / (total - groups)
    typical = (total - counts @ np.square(sizes) / total) / (groups - 1)
    with np.errstate(invalid="ignore"):
        return (between - inside) / (between + (typical - 1) * inside)


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
