"""The table of what jobs used, and the advice below it, as text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from .efficiency import Efficiency, Use, advice
from .summary import COLUMNS, duration

TITLES = ("jobs", "median", "longest", "CPU", "memory, MB", "minutes", "GPU memory, MB")
WIDTHS = (6, 9, 9, 6, 17, 13, 17)
UNKNOWN = "-"
WARM = (
    "Jobs of this scale run in a warm process, which Snakemake does not see: their CPU and memory are those of a "
    "waiting command and are left out; seconds are right."
)
NOTHING = "No job of this scale has been measured yet."


def report(rows: Sequence[Efficiency], warm: bool) -> str:
    """A row for each rule, `used of asked` for its largest job, then advice; no line longer than 100 columns."""
    if not rows:
        return NOTHING
    width = max(len(row.rule) for row in rows)
    head = f"{'rule':<{width}}" + "".join(f"{title:>{size}}" for title, size in zip(TITLES, WIDTHS, strict=True))
    lines = [head, *(_line(row, width, warm) for row in rows)]
    said = [] if warm else [line for row in rows for line in advice(row)]
    notes = [fill(note, COLUMNS) for note in [*([WARM] if warm else []), *said]]
    return "\n".join(lines) + ("\n\n" + "\n".join(notes) if notes else "")


def _line(row: Efficiency, width: int, warm: bool) -> str:
    cells = (
        str(row.jobs),
        duration(row.median_seconds),
        duration(row.longest_seconds),
        UNKNOWN if warm or row.cpu is None else f"{row.cpu * row.threads:.0%}",
        UNKNOWN if warm else _shown(row.memory_mb),
        _shown(row.minutes, ".1f"),
        _shown(row.gpu_memory_mb),
    )
    return f"{row.rule:<{width}}" + "".join(f"{cell:>{size}}" for cell, size in zip(cells, WIDTHS, strict=True))


def _shown(use: Use | None, digits: str = ",.0f") -> str:
    return UNKNOWN if use is None else f"{use.used:{digits}} of {use.asked:,.0f}"
