"""Figures of training histories: rewards and ground truth over the steps of several runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..spec.curves import Line, Panel
from ..tables import read_table
from .plotting import CURVE, LINES, MOST_PANELS_IN_A_ROW, PANEL_INCHES, STYLE, panel_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (CURVE, *(colour for colour, _ in reversed(LINES)))
SMOOTHED_SHARE = 0.1  # of a line's epochs that a point of the bold line is the mean of


@dataclass(frozen=True)
class Curve:
    """Values (N,) of one run against x (N,), and those of the reference images where there are some."""

    name: str
    x: np.ndarray
    y: np.ndarray
    references: np.ndarray | None = None


@dataclass(frozen=True)
class CurvePanel:
    """The curves of one quantity."""

    title: str
    x_title: str
    curves: list[Curve]


def read_history(policy: Path) -> pd.DataFrame:
    """The history beside a policy file, a row per epoch; UserError where there is none."""
    return read_table(policy.with_name("history.parquet"))


def curve_panels(panels: Sequence[Panel], histories: Mapping[str, pd.DataFrame]) -> list[CurvePanel]:
    """The panels of a figure from histories by run; runs without one are left out, and panels without a curve.

    UserError for a column that a history lacks, unless the panel is optional.
    """
    found = [_panel(panel, histories) for panel in panels if not _lacking(panel, histories)]
    return [panel for panel in found if panel.curves]


def smooth(values: np.ndarray, share: float = SMOOTHED_SHARE) -> np.ndarray:
    """Running mean (N,) over a centred window of this share of all values; the window is cut off at both ends."""
    half = round(len(values) * share) // 2
    sums, places = np.cumsum(np.insert(values, 0, 0.0)), np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def draw_curves(panels: Sequence[CurvePanel]) -> Figure:
    """Draw the panels side by side, four to a row: running means over faint values, the references' dashed."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    colours = _colours(panels)
    across = min(len(panels), MOST_PANELS_IN_A_ROW)
    down = -(-len(panels) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.25 * PANEL_INCHES[0] * across, PANEL_INCHES[1] * down + 0.3), layout="constrained")
        axes = panel_axes(figure, len(panels), across)
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel, colours)
        handles = [Line2D([], [], color=colour, linewidth=1.4, label=name) for name, colour in colours.items()]
        if any(curve.references is not None for panel in panels for curve in panel.curves):
            handles.append(Line2D([], [], color="#555555", linewidth=1, linestyle="--", label="its reference images"))
        figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=7, handlelength=2.4)
    return figure


def _lacking(panel: Panel, histories: Mapping[str, pd.DataFrame]) -> bool:
    """Whether an optional panel is to be left out."""
    for line in panel.lines:
        history = histories.get(line.row.policy)
        missing = [] if history is None else [one for one in _columns(panel, line) if one not in history]
        if missing and panel.optional:
            return True
        if missing:
            raise UserError(
                f"the history of '{line.row.policy}' has no column '{missing[0]}' ({line.row.lines['policy']}); "
                f"it has: {', '.join(map(str, history))}"
            )
    return False


def _columns(panel: Panel, line: Line) -> Iterator[str]:
    yield from (panel.x, line.column)
    if line.references:
        yield line.references


def _panel(panel: Panel, histories: Mapping[str, pd.DataFrame]) -> CurvePanel:
    curves = [_curve(panel.x, line, histories[line.row.policy]) for line in panel.lines if line.row.policy in histories]
    return CurvePanel(panel.title, panel.x_title, curves)


def _curve(x: str, line: Line, history: pd.DataFrame) -> Curve:
    """Epochs that have the value; a discriminator's epoch may lack it."""
    shown = history[history[line.column].notna() & history[x].notna()]
    references = shown[line.references].to_numpy(float) if line.references else None
    return Curve(line.row.row, shown[x].to_numpy(float), shown[line.column].to_numpy(float), references)


def _colours(panels: Sequence[CurvePanel]) -> dict[str, str]:
    names = dict.fromkeys(curve.name for panel in panels for curve in panel.curves)
    return dict(zip(names, cycle(COLOURS), strict=False))


def _draw(ax: Axes, panel: CurvePanel, colours: Mapping[str, str]) -> None:
    for curve in panel.curves:
        colour = colours[curve.name]
        if (np.diff(curve.x) > 0).all():  # against another quantity single epochs are a tangle
            ax.plot(curve.x, curve.y, color=colour, alpha=0.25, linewidth=0.6)
        ax.plot(smooth(curve.x), smooth(curve.y), color=colour, linewidth=1.4)
        if curve.references is not None:
            ax.plot(smooth(curve.x), smooth(curve.references), color=colour, linewidth=1, linestyle="--")
    ax.set_title(panel.title)
    ax.set_xlabel(panel.x_title)
