"""Figures of user studies: shares of votes for B, or an automatic stand-in where nobody has voted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from ..errors import UserError
from ..spec import Study
from ..tables import read_table
from .plotting import CURVE, STYLE, panel_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHER, STAND_IN = "#BFBFBF", "#9A7FB5"
ACROSS = 2
PANEL_WIDTH, BAR_HEIGHT, AROUND = 4.2, 0.32, 1.0  # inches
LABEL_WIDTH = 24  # characters of a line
VOTES, PROXY = "votes", "automatic stand-in, not votes"


@dataclass(frozen=True)
class Bar:
    """Share for B in percent with its interval, and the share of the paper's raters where it is comparable."""

    name: str
    share: float
    low: float
    high: float
    paper: float | None = None


@dataclass(frozen=True)
class StudyPanel:
    """The bars of one study; `source` is VOTES or PROXY."""

    a: str
    b: str
    source: str
    bars: list[Bar]


def read_panel(study: Study, path: Path) -> StudyPanel:
    """The panel of a study from what analyse_votes or proxy_win_rate wrote; UserError for another study's file."""
    rows = read_table(path)
    if set(rows.get("study", ())) != {study.name}:
        raise UserError(
            f"{path} does not hold the win rates of study '{study.name}'; give those of each study in order"
        )
    a, b = (row.row for row in study.rows)
    if "win_rate" in rows:
        return StudyPanel(a, b, VOTES, [_bar(row.question, row.win_rate, row, row.paper) for row in rows.itertuples()])
    return StudyPanel(a, b, PROXY, [_bar(row.scorer, row.b_above_a, row) for row in rows.itertuples()])


def draw_win_rates(panels: Sequence[StudyPanel]) -> Figure:
    """Draw the panels two to a row: bars of 100 %, B's share from the left; diamonds are the paper's raters."""
    import matplotlib
    from matplotlib.figure import Figure

    across = min(len(panels), ACROSS)
    rows = [panels[start : start + across] for start in range(0, len(panels), across)]
    heights = [AROUND + BAR_HEIGHT * max(len(panel.bars) for panel in row) for row in rows]
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(PANEL_WIDTH * across, sum(heights)), layout="constrained")
        axes = panel_axes(figure, len(panels), across, height_ratios=heights)
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel)
    return figure


def _bar(name: str, share: float, row, paper: float | None = None) -> Bar:
    return Bar(name, share, row.ci_low, row.ci_high, None if paper is None or paper != paper else paper)


def _draw(ax: Axes, panel: StudyPanel) -> None:
    colour = CURVE if panel.source == VOTES else STAND_IN
    for place, bar in enumerate(panel.bars):
        ax.barh(place, 100, height=0.7, color=OTHER)
        ax.barh(place, bar.share, height=0.7, color=colour)
        ax.plot([bar.low, bar.high], [place, place], color="black", linewidth=0.8)
        ax.annotate(f"{bar.share:.0f} %", (103, place), va="center", annotation_clip=False)
        if bar.paper is not None:
            ax.plot(bar.paper, place, marker="D", markersize=4, color="#D55E00", markeredgecolor="white")
    ax.axvline(50, color="white", linewidth=0.8)
    ax.set_title(f"{panel.b}\nagainst {panel.a}\n({panel.source})", loc="left")
    ax.set_yticks(range(len(panel.bars)), [fill(bar.name, LABEL_WIDTH) for bar in panel.bars])
    ax.set_xlim(0, 100)
    ax.invert_yaxis()
    ax.tick_params(left=False)
