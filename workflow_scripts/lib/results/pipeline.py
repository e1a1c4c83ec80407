"""The workflow's own graph as a figure: the steps of one round, as Fig. 1 of arXiv 2506.13846 draws them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Place = tuple[float, float]

NODE, EDGE = re.compile(r'^\s*(\d+)\[label = "(\w+)"', re.MULTILINE), re.compile(r"^\s*(\d+) -> (\d+)", re.MULTILINE)
RULE = re.compile(r"^(?:use rule \w+ as|rule) (\w+)", re.MULTILINE)
FILLS = ("#DCE9F5", "#FBE5D0", "#D9F0E6", "#F6DCE9", "#FFF6D6", "#E6E6E6")
BOX = (1.35, 0.42)  # inches
STEP = (1.75, 0.85)
BACK = 0.25  # inches by which the arrow to the next round runs below the boxes
ARROW = {"arrowstyle": "-|>", "color": "#777777", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 1}


@dataclass(frozen=True)
class Pipeline:
    """Rules, what each reads from, and what a next round reads from the last: edges are (from, to)."""

    rules: Sequence[str]
    edges: Sequence[tuple[str, str]]
    next_round: Sequence[tuple[str, str]] = ()

    def columns(self) -> dict[str, int]:
        """The column of each rule, the last one 0: one to the left of the first of the rules that read from it."""
        found: dict[str, int] = {}
        while len(found) < len(self.rules):
            ready = [rule for rule in self.rules if rule not in found and self._readers(rule) <= found.keys()]
            if not ready:
                raise UserError("the graph of rules has a cycle; give the graph of a first round")
            found |= {rule: min((found[reader] - 1 for reader in self._readers(rule)), default=0) for rule in ready}
        return found

    def direct(self) -> list[tuple[str, str]]:
        """The edges that no path of others replaces."""
        import networkx as nx

        return list(nx.transitive_reduction(nx.DiGraph(self.edges)).edges)

    def _readers(self, rule: str) -> set[str]:
        return {target for source, target in self.edges if source == rule}


def read_pipeline(first_round: str, next_round: str = "") -> Pipeline:
    """Outputs of `snakemake --rulegraph dot` for a file of the first round and one of the next; UserError if empty."""
    names, edges = _read(first_round)
    if not names:
        raise UserError("no graph of rules to draw; give the output of snakemake --rulegraph dot")
    return Pipeline(names, edges, [edge for edge in _read(next_round)[1] if edge not in edges and len(set(edge)) > 1])


def _read(dot: str) -> tuple[list[str], list[tuple[str, str]]]:
    names = dict(NODE.findall(dot))
    return list(names.values()), [(names[source], names[target]) for source, target in EDGE.findall(dot)]


def stages_of(files: Sequence[Path]) -> dict[str, str]:
    """The file that defines each rule, by name: the stages of the pipeline."""
    return {rule: file.stem for file in files for rule in RULE.findall(file.read_text(encoding="utf-8"))}


def draw_pipeline(pipeline: Pipeline, stages: Mapping[str, str]) -> Figure:
    """Boxes from left to right in the order of the work, coloured by stage, with an arrow for what is read."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from .plotting import STYLE

    places = _places(pipeline)
    width, height = (max(place[axis] for place in places.values()) + BOX[axis] + 0.4 for axis in (0, 1))
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height + 0.75))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(-BOX[0] / 2 - 0.2, width - BOX[0] / 2 - 0.2), ylim=(-BOX[1] / 2 - 0.95, height - BOX[1] / 2 - 0.2))
        ax.set_axis_off()
        fills = dict(zip(dict.fromkeys(stages[rule] for rule in pipeline.rules), FILLS * 2, strict=False))
        for source, target in pipeline.direct():
            _arrow(ax, places[source], places[target])
        for source, target in pipeline.next_round:
            _arrow_back(ax, places[source], places[target])
        for rule, (x, y) in places.items():
            _box(ax, x, y, rule.replace("_", " "), fills[stages[rule]])
        _legend(ax, fills)
    return figure


def _places(pipeline: Pipeline) -> dict[str, Place]:
    """Middles of the boxes in inches; the boxes of a column stand centred above each other."""
    columns = pipeline.columns()
    members = [[rule for rule in pipeline.rules if columns[rule] == i] for i in range(min(columns.values()), 1)]
    tallest = max(map(len, members))
    return {
        rule: (STEP[0] * i, STEP[1] * (row + (tallest - len(column)) / 2))
        for i, column in enumerate(members)
        for row, rule in enumerate(column)
    }


def _box(ax: Axes, x: float, y: float, text: str, fill: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x - BOX[0] / 2, y - BOX[1] / 2)
    ax.add_patch(FancyBboxPatch(corner, *BOX, boxstyle="round,pad=0,rounding_size=0.08", fc=fill, ec="#444444", lw=0.8))
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def _arrow(ax: Axes, source: Place, target: Place) -> None:
    start, end = (source[0] + BOX[0] / 2, source[1]), (target[0] - BOX[0] / 2, target[1])
    ax.annotate("", end, start, arrowprops=ARROW)


def _arrow_back(ax: Axes, source: Place, target: Place) -> None:
    """From under the last box to under an earlier one, dashed."""
    (x, y), (end_x, end_y) = ((x, y - BOX[1] / 2) for x, y in (source, target))
    depth, dashes = min(y, end_y) - BACK, (0, (4, 3))
    ax.plot([x, x, end_x], [y, depth, depth], color=ARROW["color"], linewidth=ARROW["linewidth"], linestyle=dashes)
    ax.annotate("", (end_x, end_y), (end_x, depth), arrowprops=ARROW)
    ax.text((x + end_x) / 2, depth - 0.06, "next round", ha="center", va="top", fontsize=8)


def _legend(ax: Axes, fills: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=fill, edgecolor="#444444", linewidth=0.8, label=stage) for stage, fill in fills.items()]
    ax.legend(handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8)
