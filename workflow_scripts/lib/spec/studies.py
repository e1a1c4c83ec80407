"""User studies: two policies, some prompts, the questions, and what the paper's raters said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import UserError
from .leaves import lift, plain
from .loading import Document
from .scales import Scale
from .tables import Column, PlannedRow, Row, read_row

if TYPE_CHECKING:
    from .config import Config


@dataclass(frozen=True)
class Question:
    """One forced choice; `paper` is the share of votes for B in percent, None where the paper does not say."""

    name: str
    text: str
    paper: float | None = None
    paper_source: str = ""


@dataclass(frozen=True)
class Study:
    """One study; `rows` are its policies A and B, as rows of a table without `columns`."""

    name: str
    title: str
    introduction: str
    prompts: str
    num_prompts: int
    or_fewer: bool
    blurred: bool
    rows: list[Row]
    questions: list[Question]
    document: Document = field(repr=False)
    columns: tuple[Column, ...] = ()

    def num_shown(self, scale: Scale) -> int:
        """Prompts that a scale shows."""
        return min(self.num_prompts, scale.prompts[self.prompts]) if self.or_fewer else self.num_prompts


@dataclass(frozen=True)
class WinRates:
    """A figure of studies, by name; it has neither metrics nor images."""

    name: str
    title: str
    caption: str
    studies: list[str]
    document: Document = field(repr=False)
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()


def read_win_rates(name: str, document: Document) -> WinRates:
    """A validated document as WinRates."""
    return WinRates(name, *(document.data[key] for key in ("title", "caption", "studies")), document)


def read_study(name: str, document: Document) -> Study:
    """A validated document as a Study."""
    data = plain(lift(document))
    about = {key: data[key] for key in ("title", "introduction", "prompts", "num_prompts", "blurred")}
    about["or_fewer"] = data.get("or_fewer", False)
    entries = {side: {**data[side], "base": side, "row": data[side]["title"]} for side in ("a", "b")}
    rows = [read_row(entry, document, (side,)) for side, entry in entries.items()]
    questions = [_question(name, **entry) for name, entry in data["questions"].items()]
    return Study(name, **about, rows=rows, questions=questions, document=document)


def studies_at(config: Config, scale: str) -> list[str]:
    """Studies whose two policies the scale computes."""
    skipped = {name: [config.plan(row, scale).skipped for row in study.rows] for name, study in config.studies.items()}
    return [name for name, reasons in skipped.items() if not any(reasons)]


def planned_sides(config: Config, name: str, scale: str) -> list[PlannedRow]:
    """Policies A and B of a study at a scale; UserError where the scale does not compute one of them."""
    rows = [config.plan(row, scale) for row in config.study(name).rows]
    for row in rows:
        if row.skipped:
            said = f"study '{name}' compares {row.policy}, but {row.skipped}; choose another scale"
            raise UserError(f"{said} ({row.row.lines['policy']})")
    return rows


def _question(name: str, text: str, paper: dict | None = None) -> Question:
    return Question(name, text) if paper is None else Question(name, text, paper["win_rate"], paper["source"])
