"""Figures of what happened in training: panels of lines, each a column of a run's history."""

from __future__ import annotations

from dataclasses import dataclass, field

from .loading import Document
from .tables import Column, Row, read_row

STEP = "global_step"


@dataclass(frozen=True)
class Line:
    """A column of the history of a run (`row`), and that of the reference images where there is one."""

    row: Row
    column: str
    references: str | None = None


@dataclass(frozen=True)
class Panel:
    """Lines of one quantity against the column `x`; an `optional` one is left out where histories lack a column."""

    title: str
    x: str
    x_title: str
    optional: bool
    lines: list[Line]


@dataclass(frozen=True)
class Curves:
    """A figure of histories; it has no metrics, so no `columns`."""

    name: str
    title: str
    caption: str
    panels: list[Panel]
    document: Document = field(repr=False)
    columns: tuple[Column, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """The runs of all panels."""
        return [line.row for panel in self.panels for line in panel.lines]


def read_curves(name: str, document: Document) -> Curves:
    """A validated document as Curves."""
    data = document.data
    panels = [_panel(document, number) for number in range(len(data["panels"]))]
    return Curves(name, data["title"], data["caption"], panels, document)


def _panel(document: Document, number: int) -> Panel:
    panel = document.data["panels"][number]
    lines = [
        Line(
            read_row({**line, "base": panel["title"]}, document, ("panels", number, "lines", i)),
            line["column"],
            line.get("references"),
        )
        for i, line in enumerate(panel["lines"])
    ]
    about = (panel.get("x", STEP), panel.get("x_title", "steps"), panel.get("optional", False))
    return Panel(panel["title"], *about, lines)
