"""Win rates of B over A from people's votes, with intervals over raters and prompts.

Votes of one rater, and votes on one prompt, are alike; an interval that takes them for independent is too short. The
pigeonhole bootstrap (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1(2), 2007) draws raters and prompts
with replacement, independently of each other; a vote counts as often as its rater times as often as its prompt. Where
votes differ by chance alone it is conservative: it counts that part of the variance up to three times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.bootstrap import Estimate, interval, resample_counts, resample_indices
from ..results.writing import markdown_table
from ..seeds import seed_of
from .key import Key
from .shares import DECIMALS, as_cells, in_percent, who_is_who
from .votes import Vote


@dataclass(frozen=True)
class WinRate:
    """The share of votes for B on one question; `left` is the share of votes for the image on the left."""

    question: str
    text: str
    estimate: Estimate
    votes: int
    raters: int
    prompts: int
    left: float
    paper: float | None
    paper_source: str


def win_rates(votes: Sequence[Vote], key: Key, resamples: int, seed: int) -> list[WinRate]:
    """The win rate of every question that has votes."""
    found = []
    for question in key.questions:
        mine = [vote for vote in votes if vote.question == question.name]
        if mine:
            chose_b = votes_matrix(mine)
            estimate = interval(np.nanmean(chose_b), pigeonhole_bootstrap(chose_b, resamples, seed))
            counts = (len(mine), *chose_b.shape, float(np.mean([vote.chose_left for vote in mine])))
            found.append(
                WinRate(question.name, question.text, estimate, *counts, question.paper, question.paper_source)
            )
    return found


def votes_matrix(votes: Sequence[Vote]) -> np.ndarray:
    """Votes (raters, prompts), 1 for B, 0 for A, NaN where a rater has not voted."""
    raters, rows = np.unique([vote.rater for vote in votes], return_inverse=True)
    pairs, columns = np.unique([vote.pair for vote in votes], return_inverse=True)
    matrix = np.full((len(raters), len(pairs)), np.nan)
    matrix[rows, columns] = [vote.chose_b for vote in votes]
    return matrix


def pigeonhole_bootstrap(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means (R,) of resamples of rows and of columns of values (I, J), NaN where missing.

    NaN for a resample that drew no value at all, which happens when nearly all are missing.
    """
    present = ~np.isnan(values)
    rows, columns = (
        resample_counts(resample_indices(size, resamples, seed_of(seed, "pigeonhole", axis)))
        for axis, size in enumerate(values.shape)
    )
    sums, counts = (np.einsum("rj,rj->r", rows @ one, columns) for one in (np.where(present, values, 0.0), present))
    with np.errstate(invalid="ignore"):
        return sums / counts


def as_rows(rates: Sequence[WinRate], key: Key) -> list[dict]:
    """A row per question for CSV, win rates in percent."""
    return [
        {
            "study": key.study,
            "question": rate.question,
            "a": key.a.policy,
            "b": key.b.policy,
            **in_percent(rate.estimate, "win_rate"),
            "votes": rate.votes,
            "raters": rate.raters,
            "prompts": rate.prompts,
            "left_share": round(100 * rate.left, DECIMALS),
            "paper": rate.paper,
            "paper_source": rate.paper_source,
        }
        for rate in rates
    ]


def markdown(rates: Sequence[WinRate], key: Key) -> str:
    """The win rates as a page."""
    head = ("question", "votes for B", "95 % CI", "votes", "raters", "prompts", "left", "paper")
    lines = [
        f"# {key.study}: people's votes",
        "",
        who_is_who(key),
        "",
        *markdown_table(head, [_cells(rate) for rate in rates]),
        "",
        *_notes(rates, key),
    ]
    return "\n".join(lines)


def _cells(rate: WinRate) -> tuple[str, ...]:
    paper = "not given" if rate.paper is None else f"{rate.paper:.1f} %"
    counts = (str(rate.votes), str(rate.raters), str(rate.prompts))
    return (rate.text, *as_cells(rate.estimate), *counts, f"{100 * rate.left:.1f} %", paper)


def _notes(rates: Sequence[WinRate], key: Key) -> Iterator[str]:
    yield "* Intervals: pigeonhole bootstrap (Owen 2007), which resamples both raters and prompts."
    yield "* left: share of votes for the image on the left; sides are random, so it should be near 50 %."
    if any(rate.raters == 1 for rate in rates):
        yield "* With one rater the interval speaks of other prompts only, not of other people."
    for rate in rates:
        if rate.paper is not None:
            yield f"* Paper, {rate.question}: {rate.paper_source}."
    if key.scale != "paper":
        yield f"* Scale {key.scale}: other models than the paper's; the paper's number is shown for orientation only."
    yield f"* Fingerprint of the study: `{key.fingerprint}`."
    yield ""
