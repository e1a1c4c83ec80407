"""Tables in long form: a row per cell, with our value and the paper's, what the verdict is about, and the command."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..spec import Config
from ..spec.scales import PAPER
from ..spec.tables import Column, PlannedRow, RowName, Table, expectations
from . import verdicts
from .evidence import Candidate, Evidence

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "table", "scale", "layout", "base", "row", "column", "title", "better", "decimals",
    "paper", "ours", "ci_low", "ci_high", "sd", "replicates", "n",
    "against", "expected", "difference", "difference_low", "difference_high", "verdict", "run", "selection", "command",
)  # fmt: skip

ARROWS = {"lower": "↓", "higher": "↑"}

BELOW, SIDE_BY_SIDE = "below", "side by side"
"""Where the blocks of other bases stand."""


@dataclass(frozen=True)
class ScaledTable:
    """A table at a scale: the rows as planned for replicate 0, the columns known there, and their titles there."""

    table: Table
    scale: str
    rows: Sequence[PlannedRow]
    columns: Sequence[Column]
    titles: Mapping[str, str]

    def find(self, name: RowName) -> PlannedRow | None:
        """The row of that base and name; None when the scale does not run it."""
        return next((one for one in self.rows if (one.row.base, one.row.row) == name and not one.skipped), None)

    def compared_with(self, row: PlannedRow) -> PlannedRow | None:
        """The row that the verdict on `row` is about; None when there is none or the scale does not run it."""
        return self.find(row.row.better_than[0]) if row.row.better_than else None


def scaled_table(config: Config, name: str, scale: str) -> ScaledTable:
    """A table or figure with its rows, columns and column titles at a scale; UserError for unknown names."""
    metrics = config.scale(scale).metrics
    sheet = config.figure(name) if name in config.figures else config.table(name)
    columns = config.table_columns(name, scale)
    titles = {column.name: metrics[column.name]["title"] for column in columns}
    return ScaledTable(sheet, config.scale(scale).name, config.table_rows(name, scale), columns, titles)


def candidate_of(row: PlannedRow) -> Candidate:
    """The candidate of a row that was planned for replicate 0."""
    return row.policy, row.selection


def name_of(row: PlannedRow, base: str) -> str:
    """How a row of another base, or of the same, is called in a line of `base`."""
    return row.row.row if row.row.base == base else f"{row.row.row} ({row.row.base})"


def long_form(table: ScaledTable, evidence: Evidence) -> pd.DataFrame:
    """All cells of a table (COLUMNS), in its order.

    Values are compared with the paper's at paper scale only; elsewhere verdicts are about directions.
    """
    import pandas as pd

    cells = [
        _about(table, row, column) | _found(table, row, column, evidence)
        for row in table.rows
        for column in table.columns
    ]
    return pd.DataFrame(cells, columns=COLUMNS)


def notes(table: Table) -> Iterator[str]:
    """Footnotes of a table: where values of the paper come from, and what is odd about them."""
    for row in table.rows:
        if row.paper_source:
            yield f"{row.base}, {row.row}: the paper's values are those of {row.paper_source}."
        if row.note:
            yield f"{row.base}, {row.row}: {row.note}"


def _about(table: ScaledTable, row: PlannedRow, column: Column) -> dict[str, Any]:
    return {
        "table": table.table.name,
        "scale": table.scale,
        "layout": SIDE_BY_SIDE if table.table.side_by_side else BELOW,
        "base": row.row.base,
        "row": row.row.row,
        "column": column.name,
        "title": table.titles[column.name],
        "better": column.better,
        "decimals": column.decimals,
        "paper": row.row.paper.get(column.name, math.nan),
        "run": row.policy,
        "selection": row.selection,
    }


def _found(table: ScaledTable, row: PlannedRow, column: Column, evidence: Evidence) -> dict[str, Any]:
    if row.skipped:
        return {"verdict": f"not run: {row.skipped}"}
    return _measured(table, row, column, evidence) if row.row.has(column) else {"verdict": ""}


def _measured(table: ScaledTable, row: PlannedRow, column: Column, evidence: Evidence) -> dict[str, Any]:
    """Our value with its interval, the difference to the row compared with, the verdict: value, then direction."""
    found = evidence.summary(candidate_of(row), column.name)
    paths = " ".join(str(one.path) for one in evidence.replicates(candidate_of(row), column.name).values())
    cell = {"ours": found.estimate.value, "ci_low": found.estimate.ci_low, "ci_high": found.estimate.ci_high}
    cell |= {"sd": found.sd, "replicates": found.replicates, "n": found.n, "command": f"snakemake {paths}"}
    parts = _value_verdict(table, row, column, found.estimate.value)
    other = table.compared_with(row)
    if row.row.row == table.table.base_row:
        parts.append(verdicts.BASELINE)
    elif other is not None and other.row.has(column):
        difference = evidence.difference(candidate_of(row), candidate_of(other), column.name)
        sign = expected_sign(table.table, row, column)
        cell |= {"against": name_of(other, row.row.base), "expected": sign, "difference": difference.value}
        cell |= {"difference_low": difference.ci_low, "difference_high": difference.ci_high}
        parts.append(verdicts.direction(sign, difference))
    return cell | {"verdict": "; ".join(parts)}


def expected_sign(table: Table, row: PlannedRow, column: Column) -> int:
    """Sign of the difference to the row compared with, 0 where the paper prints the same value twice."""
    wanted = ((row.row.base, row.row.row), row.row.better_than[0], column.name)
    return next((one.sign for one in expectations(table) if (one.row, one.better_than, one.column) == wanted), 0)


def _value_verdict(table: ScaledTable, row: PlannedRow, column: Column, ours: float) -> list[str]:
    paper = row.row.paper.get(column.name)
    if table.scale != PAPER or paper is None or column.tolerance is None:
        return []
    return [verdicts.reproduced(ours, paper, column.tolerance)]
