"""How win rates are written: shares in percent with their intervals, under a line that says who A and B are."""

from __future__ import annotations

from ..metrics.bootstrap import Estimate
from .key import Key, Side

DECIMALS = 4  # of percent in CSV: finer than any study can tell


def in_percent(estimate: Estimate, name: str) -> dict[str, float]:
    """The share under `name`, ci_low and ci_high, in percent."""
    values = zip((name, "ci_low", "ci_high"), estimate, strict=True)
    return {column: round(100 * value, DECIMALS) for column, value in values}


def as_cells(estimate: Estimate) -> tuple[str, str]:
    """The share and its interval as a reader sees them."""
    value, low, high = (f"{100 * share:.1f}" for share in estimate)
    return f"{value} %", f"{low} to {high}"


def who_is_who(key: Key) -> str:
    """A sentence on both policies."""
    return f"A: {_named(key.a)}. B: {_named(key.b)}."


def _named(side: Side) -> str:
    return f"{side.title} (`{side.policy}`, {side.selection})"
