"""Rank figures: metrics against the rank of samples by a reward (Fig. 2 of arXiv 2506.13846)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from ..metrics.bootstrap import spearman
from ..spec.tables import Column
from .evidence import Evidence
from .plotting import CURVE, LINES, MOST_PANELS_IN_A_ROW, PANEL_INCHES, STYLE, panel_axes
from .tables import ARROWS, ScaledTable, candidate_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """One metric against rank: values and interval bounds (K,) for rank 1 (highest reward) to K, and lines by name.

    `rho` correlates the metric with the order by reward: positive when samples of higher reward have higher values. It
    has no interval: resampled points carry their noise twice, which lowers every correlation of ten of them.
    """

    title: str
    better: str
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rho: float
    lines: dict[str, float]


def rank_panels(figure: ScaledTable, evidence: Evidence) -> list[Panel]:
    """The panels of a rank figure, one per column: points from the rows `ranks`, lines from others that were run."""
    return [_panel(figure, column, evidence) for column in figure.columns]


def draw_ranks(panels: Sequence[Panel]) -> Figure:
    """Draw the panels side by side, four to a row, with one legend below; reward grows to the right."""
    import matplotlib
    from matplotlib.figure import Figure

    across = min(len(panels), MOST_PANELS_IN_A_ROW)
    down = -(-len(panels) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL_INCHES[0] * across, PANEL_INCHES[1] * down + 0.25), layout="constrained")
        axes = panel_axes(figure, len(panels), across)
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=7, handlelength=2.4
        )
    return figure


def _panel(figure: ScaledTable, column: Column, evidence: Evidence) -> Panel:
    ranks = [row for row in figure.rows if row.row.base == "ranks"]
    found = [evidence.summary(candidate_of(row), column.name).estimate for row in ranks]
    values, low, high = (np.array(bound) for bound in zip(*found, strict=True))
    order_by_reward = np.arange(len(ranks), 0, -1)
    lines = {
        row.row.row: evidence.summary(candidate_of(row), column.name).estimate.value
        for row in figure.rows
        if row.row.base != "ranks" and not row.skipped
    }
    rho = float(spearman(order_by_reward, values))
    return Panel(figure.titles[column.name], column.better, values, low, high, rho, lines)


def _draw(ax: Axes, panel: Panel) -> None:
    ranks = np.arange(1, len(panel.values) + 1)
    ax.fill_between(ranks, panel.low, panel.high, color=CURVE, alpha=0.18, linewidth=0, label="95 % CI over prompts")
    ax.plot(ranks, panel.values, color=CURVE, linewidth=1.2, marker="o", markersize=3, label="samples of one rank")
    for (name, value), (color, dashes) in zip(panel.lines.items(), cycle(LINES), strict=False):
        ax.axhline(value, color=color, linestyle=dashes, linewidth=1, label=name)
    ax.set_title(f"{panel.title} {ARROWS[panel.better]}\n" + f"ρ = {panel.rho:.2f}".replace("-", "−"))
    ax.set_xlabel("rank by reward (1 = highest)")
    ax.set_xlim(len(ranks) + 0.4, 0.6)
    ax.set_xticks(ranks if len(ranks) <= 5 else [ranks[-1], *range(len(ranks) - len(ranks) % 2 - 2, 1, -2), 1])
