"""Proxy win rates: how often an automatic scorer prefers B to A on the prompts of a study. These are nobody's votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..metrics.bootstrap import Estimate, interval, mean_bootstrap, resample_counts, resample_indices
from ..results.writing import markdown_table
from .key import Key
from .shares import as_cells, in_percent, who_is_who

if TYPE_CHECKING:
    import pandas as pd

LABEL = "automatic stand-in, not people's votes"


@dataclass(frozen=True)
class ProxyWinRate:
    """Share of prompts on which a scorer puts B above A, a tie counted half."""

    scorer: str
    estimate: Estimate
    prompts: int
    ties: int


def proxy_win_rates(
    a: Mapping[str, pd.Series], b: Mapping[str, pd.Series], key: Key, resamples: int, seed: int
) -> list[ProxyWinRate]:
    """A row per scorer; `a` and `b` hold the scores of each policy's images by key, per scorer.

    A prompt on which a scorer gives no value to one of the images is left out. The interval resamples prompts.
    UserError when a scorer is missing on one side, an image has not been scored, or nothing can be compared.
    """
    if a.keys() != b.keys():
        raise UserError(f"scores of A are by {', '.join(a)}, of B by {', '.join(b)}; give the same scorers for both")
    counts = resample_counts(resample_indices(len(key.pairs), resamples, seed))
    return [_rate(scorer, *_scores_of_pairs(scorer, a[scorer], b[scorer], key), counts) for scorer in a]


def _scores_of_pairs(scorer: str, a: pd.Series, b: pd.Series, key: Key) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for scores, side in ((a, "a"), (b, "b")):
        keys = [getattr(pair, side).key for pair in key.pairs]
        if missing := sorted(set(keys) - set(scores.index)):
            raise UserError(
                f"{scorer} has no score of image {missing[0]} of policy {side.upper()}; give all parts of its scores"
            )
        found.append(scores.loc[keys].to_numpy())
    return found[0], found[1]


def _rate(scorer: str, a: np.ndarray, b: np.ndarray, counts: np.ndarray) -> ProxyWinRate:
    wins = wins_of(a, b)
    if np.isnan(wins).all():
        raise UserError(f"{scorer} scores no prompt of the study on both sides; leave it out")
    present = ~np.isnan(wins)
    estimate = interval(np.nanmean(wins), mean_bootstrap(wins, counts))
    return ProxyWinRate(scorer, estimate, int(present.sum()), int((wins == 0.5).sum()))


def wins_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 where b is above a, 0 where below, 0.5 where equal, NaN where one is missing."""
    return np.where(np.isnan(a) | np.isnan(b), np.nan, (np.sign(b - a) + 1) / 2)


def as_rows(rates: Sequence[ProxyWinRate], key: Key) -> list[dict]:
    """A row per scorer for CSV, shares in percent."""
    return [
        {
            "study": key.study,
            "what": LABEL,
            "scorer": rate.scorer,
            "a": key.a.policy,
            "b": key.b.policy,
            **in_percent(rate.estimate, "b_above_a"),
            "prompts": rate.prompts,
            "ties": rate.ties,
        }
        for rate in rates
    ]


def markdown(rates: Sequence[ProxyWinRate], key: Key) -> str:
    """The shares as a page."""
    lines = [
        f"# {key.study}: {LABEL}",
        "",
        who_is_who(key),
        "",
        *markdown_table(("scorer", "B above A", "95 % CI", "prompts", "ties"), [_cells(rate) for rate in rates]),
        "",
        "* Share of the study's prompts on which the scorer puts B above A; a tie counts half.",
        "* Intervals: bootstrap over prompts.",
        "* No person has voted here: these shares cannot be compared with the win rate that a paper's raters gave.",
        "",
    ]
    return "\n".join(lines)


def _cells(rate: ProxyWinRate) -> tuple[str, ...]:
    return (rate.scorer, *as_cells(rate.estimate), str(rate.prompts), str(rate.ties))
