"""What all figures share: style, colours, sizes, the axes of their panels, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE = "#0072B2"  # Okabe and Ito's palette, safe for colour-blind readers
LINES = (
    ("#555555", (0, (4, 2))),
    ("#D55E00", (0, (1.2, 1.6))),
    ("#009E73", (0, (5, 1.5, 1, 1.5))),
    ("#CC79A7", (0, (8, 2))),
)
MOST_PANELS_IN_A_ROW = 4
PANEL_INCHES = (1.85, 1.75)
STYLE = {
    "font.family": "sans-serif",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def panel_axes(figure: Figure, count: int, across: int, **options: Any) -> list[Axes]:
    """`count` axes, `across` to a row, on a grid that `options` of `Figure.subplots` shape; the rest stays empty."""
    axes = figure.subplots(-(-count // across), across, squeeze=False, **options).ravel()
    for ax in axes[count:]:
        ax.remove()
    return list(axes[:count])


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write a figure in the formats of the paths: PDF with TrueType fonts, PNG with 200 dots per inch; no dates."""
    import matplotlib

    from ..files import atomic_write

    for path in paths:
        metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
        with atomic_write(path) as temporary, matplotlib.rc_context(STYLE):
            figure.savefig(temporary, format=path.suffix[1:], dpi=200, metadata=metadata)
