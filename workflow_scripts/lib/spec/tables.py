"""Tables and figures: per cell a policy, a selection, a metric, and what the paper says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .loading import Document, Keys
from .policies import FIRST, best_of, rank_of


@dataclass(frozen=True)
class Column:
    """One metric; `tolerance` None where the paper has no such column."""

    name: str
    better: str
    decimals: int
    optional: bool = False
    tolerance: float | None = None
    tolerance_basis: str = ""


RowName = tuple[str, str]
"""Base and name of a row."""


@dataclass(frozen=True)
class Row:
    """One policy (`round` None: the last) under one selection, with the paper's values by column."""

    base: str
    row: str
    policy: str
    round: int | None
    selection: str
    reward: str | None
    candidates: int
    lines: dict[str, str] = field(repr=False)  # file:line of keys, of paper.{column}
    paper: dict[str, float] = field(default_factory=dict)
    paper_source: str = ""
    note: str = ""
    better_than: tuple[RowName, ...] = ()  # the first is what a table's verdict compares with
    expected_in: tuple[str, ...] = ()  # columns that have an expected direction; all for none
    columns: tuple[str, ...] = ()  # columns that the row has; all for none

    def has(self, column: Column) -> bool:
        """Whether the row has a value in a column."""
        return not self.columns or column.name in self.columns


@dataclass(frozen=True)
class Table:
    """One table of a paper."""

    name: str
    title: str
    caption: str
    base_row: str | None
    side_by_side: bool
    columns: list[Column]
    rows: list[Row]
    document: Document = field(repr=False)
    validity: bool = False

    def find(self, name: RowName) -> Row | None:
        """The row of that base and name."""
        return next((one for one in self.rows if (one.base, one.row) == name), None)


@dataclass(frozen=True)
class RankFigure:
    """A figure of metrics against the rank of samples by a reward; `rows` are the ranks, then the horizontal lines."""

    name: str
    title: str
    caption: str
    policy: str
    round: int | None
    reward: str
    ranks_of: int
    columns: list[Column]
    rows: list[Row]
    document: Document = field(repr=False)


@dataclass(frozen=True)
class Diagram:
    """A figure of the steps of a run's round; it has neither metrics nor images."""

    name: str
    title: str
    caption: str
    run: str
    document: Document = field(repr=False)
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True)
class PlannedRow:
    """A row at one scale: the policy and selection to compute, or why it is left empty."""

    row: Row
    policy: str
    selection: str
    skipped: str = ""


@dataclass(frozen=True)
class Expectation:
    """The expected sign of (row - other row) in a column, and what says so: the paper's values or `better`."""

    row: RowName
    better_than: RowName
    column: str
    sign: int
    source: str


def read_table(name: str, document: Document) -> Table:
    """A validated document as a Table."""
    data = document.data
    rows = [read_row(entry, document, ("rows", index)) for index, entry in enumerate(data["rows"])]
    return Table(
        name,
        title=data["title"],
        caption=data["caption"],
        base_row=data.get("base_row"),
        side_by_side=data.get("side_by_side", False),
        validity=data.get("validity", False),
        columns=_columns(data),
        rows=rows,
        document=document,
    )


def read_figure(name: str, document: Document) -> RankFigure:
    """A validated document as a RankFigure."""
    data = document.data
    rows = [_ranked_row(document, rank) for rank in range(1, data["ranks_of"] + 1)]
    lines = [{**line, "base": "lines", "row": line["title"]} for line in data.get("lines", [])]
    rows += [read_row(line, document, ("lines", index)) for index, line in enumerate(lines)]
    about = {key: data[key] for key in ("title", "caption", "policy", "reward", "ranks_of")}
    return RankFigure(name, round=data.get("round"), columns=_columns(data), rows=rows, document=document, **about)


def read_diagram(name: str, document: Document) -> Diagram:
    """A validated document as a Diagram."""
    return Diagram(name, *(document.data[key] for key in ("title", "caption", "run")), document)


def _columns(data: dict) -> list[Column]:
    return [_column(**entry) for entry in data["columns"]]


def _column(tolerance: dict | None = None, **about) -> Column:
    if tolerance is None:
        return Column(**about)
    return Column(**about, tolerance=tolerance["value"], tolerance_basis=tolerance["basis"])


def read_row(entry: dict, document: Document, keys: Keys) -> Row:
    """The row that stands under `keys` of a document."""
    selection = entry.get("selection", FIRST)
    chosen = isinstance(selection, dict)
    parts = ["policy", "round", "expect", "columns", *(f"paper.{column}" for column in entry.get("paper", {}))]
    lines = {part: document.where(*keys, *part.split(".")) for part in parts}
    return Row(
        base=entry["base"],
        row=entry["row"],
        policy=entry["policy"],
        round=entry.get("round"),
        selection=best_of(selection["reward"], selection["best_of"]) if chosen else FIRST,
        reward=selection["reward"] if chosen else None,
        candidates=selection["best_of"] if chosen else 1,
        paper=entry.get("paper", {}),
        paper_source=entry.get("paper_source", ""),
        note=entry.get("note", ""),
        better_than=tuple(_other_rows(entry)),
        expected_in=tuple(entry.get("expect", {}).get("columns", ())),
        columns=tuple(entry.get("columns", ())),
        lines=lines | {part: document.where(*keys, "selection", part) for part in ("reward", "best_of")},
    )


def _other_rows(entry: dict) -> Iterator[RowName]:
    others = entry.get("expect", {}).get("better_than", [])
    for other in [others] if isinstance(others, str) else others:
        yield (other["base"], other["row"]) if isinstance(other, dict) else (entry["base"], other)


def _ranked_row(document: Document, rank: int) -> Row:
    data = document.data
    reward, ranks_of = data["reward"], data["ranks_of"]
    return Row(
        base="ranks",
        row=str(rank),
        policy=data["policy"],
        round=data.get("round"),
        selection=rank_of(reward, rank, ranks_of),
        reward=reward,
        candidates=ranks_of,
        lines={"best_of": document.where("ranks_of")}
        | {key: document.where(key) for key in ("policy", "round", "reward")},
    )


def expectations(table: Table) -> Iterator[Expectation]:
    """Every direction the verdict checks; none where the paper prints the same value twice."""
    for row in table.rows:
        columns = [column for column in table.columns if not row.expected_in or column.name in row.expected_in]
        for name in row.better_than:
            other = table.find(name)
            for column in (one for one in columns if row.has(one) and other.has(one)):
                sign, source = _expected_sign(row, other, column)
                if sign:
                    yield Expectation((row.base, row.row), name, column.name, sign, source)


def _expected_sign(row: Row, other: Row, column: Column) -> tuple[int, str]:
    if column.name in row.paper and column.name in other.paper:
        difference = row.paper[column.name] - other.paper[column.name]
        return (difference > 0) - (difference < 0), "paper"
    return (1 if column.better == "higher" else -1), "better"
