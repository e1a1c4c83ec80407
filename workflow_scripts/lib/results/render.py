"""A long-form table (tables.COLUMNS) as Markdown, LaTeX and text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from ..errors import UserError
from ..spec.scales import PAPER
from ..tables import read_table
from .tables import ARROWS, COLUMNS, SIDE_BY_SIDE
from .verdicts import BASELINE, MARKS
from .writing import markdown_table

if TYPE_CHECKING:
    import pandas as pd

EMPTY = "–"
NOT_COMPARED = "Numbers at scale {scale} are never compared with the paper's values, only directions are."
DIRECTIONS = (
    "✓ the expected direction, ✗ the opposite, in brackets when the 95 % interval of the paired difference includes 0."
)
VALUES = "Paper's values in parentheses: ✓ within the column's tolerance, ✗ outside."
LATEX_MARKS = {"✓": r"$\checkmark$", "(✓)": r"($\checkmark$)", "✗": r"$\times$", "(✗)": r"($\times$)", "": ""}
LATEX_ARROWS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$"}
LATEX_ESCAPES = {character: rf"\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
}


@dataclass(frozen=True)
class Cell:
    """What is printed of a cell: value, half-width of its interval, the paper's value (paper scale), mark."""

    value: str
    margin: str
    paper: str
    mark: str
    best: bool


@dataclass(frozen=True)
class Grid:
    """A table as printed: titles and arrows of the columns, and blocks of rows that share a base model."""

    header: list[tuple[str, str]]
    blocks: list[tuple[str, list[tuple[str, list[Cell]]]]]


def read_rows(path) -> pd.DataFrame:
    """A long-form table from its CSV; UserError when it is none."""
    rows = read_table(path)
    if missing := [column for column in COLUMNS if column not in rows]:
        raise UserError(f"{path} is no table of make_table: it has no column {', '.join(missing)}; remake it")
    return rows


def grid(rows: pd.DataFrame) -> Grid:
    """The printed form of a long-form table, rows and columns in its order."""
    best = _best(rows)
    if rows["layout"].iloc[0] == SIDE_BY_SIDE:
        return _side_by_side(rows, best)
    columns = rows.drop_duplicates("column")
    header = [(row.title, ARROWS[row.better]) for row in columns.itertuples()]
    blocks = []
    for base, block in groupby(rows.itertuples(), key=lambda cell: cell.base):
        lines = [
            (name, [_cell(cell, cell.Index in best) for cell in line])
            for name, line in groupby(block, key=lambda cell: cell.row)
        ]
        blocks.append((base, lines))
    return Grid(header, blocks)


def _side_by_side(rows: pd.DataFrame, best: set[int]) -> Grid:
    """One block, with a group of columns for each base, those that a row of it has; what a base lacks is empty."""
    columns = _reported(rows).drop_duplicates(["base", "column"])
    header = [(f"{row.base}: {row.title}", ARROWS[row.better]) for row in columns.itertuples()]
    cells = {(row.row, row.base, row.column): _cell(row, row.Index in best) for row in rows.itertuples()}
    missing = Cell(EMPTY, "", "", "", False)
    lines = [
        (name, [cells.get((name, row.base, row.column), missing) for row in columns.itertuples()])
        for name in rows["row"].drop_duplicates()
    ]
    return Grid(header, [("", lines)])


def preamble(rows: pd.DataFrame, margins: bool = True) -> str:
    """What a reader must know first: what the marks compare, over how many prompts, and (`margins`) what ± means."""
    replicates = rows["replicates"].max()
    mean = f"Means of {replicates:.0f} replicates" if replicates > 1 else "One replicate"
    interval = ", ± half the width of the 95 % bootstrap interval over prompts" if margins else ""
    return " ".join([*_legend(rows), f"{mean}{interval}; N = {_counts(rows)} prompts."])


def _legend(rows: pd.DataFrame) -> Iterator[str]:
    """What the marks mean, where there are any."""
    scale, in_paper = rows["scale"].iloc[0], rows["paper"].notna().any()
    if in_paper:
        yield VALUES if scale == PAPER else NOT_COMPARED.format(scale=scale)
    if rows["expected"].notna().any() and not (in_paper and scale == PAPER):
        yield DIRECTIONS


def markdown(rows: pd.DataFrame, title: str, caption: str, notes: Sequence[str] = ()) -> str:
    """A Markdown document: the table as in the paper, every verdict with its paired difference, and the commands."""
    table = grid(rows)
    lines = [f"# {title} ({rows['scale'].iloc[0]} scale)", "", f"> {preamble(rows)}", "", caption, ""]
    lines += markdown_table(
        ["base", "row", *(f"{name} {arrow}" for name, arrow in table.header)],
        (
            [base if i == 0 else "", name, *map(_markdown_cell, cells)]
            for base, block in table.blocks
            for i, (name, cells) in enumerate(block)
        ),
    )
    lines += ["", *(f"* {note}" for note in notes)] if notes else []
    if not rows["verdict"].fillna("").isin(["", BASELINE]).all():
        values = ["ours", "paper"] if rows["scale"].iloc[0] == PAPER else ["ours"]
        head = ["base", "row", "metric", *values, "difference [95 % CI]", "expected", "N", "verdict"]
        lines += ["", "## Verdicts", "", *markdown_table(head, map(_verdict_line, _reported(rows).itertuples()))]
    lines += ["", "## Commands", "", *_commands(rows), ""]
    return "\n".join(lines)


def latex(rows: pd.DataFrame, title: str, caption: str) -> str:
    """A LaTeX table (packages booktabs and amssymb), blocks of base models apart, best values bold."""
    table = grid(rows)
    head = ["", "", *(f"{_tex(name)} {LATEX_ARROWS[arrow]}" for name, arrow in table.header)]
    blocks = []
    for base, block in table.blocks:
        blocks.append(
            "".join(
                _latex_line([_tex(base) if i == 0 else "", _tex(name), *map(_latex_cell, cells)])
                for i, (name, cells) in enumerate(block)
            )
        )
    legend = "".join(LATEX_MARKS.get(character, _tex(character)) for character in preamble(rows))
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_tex(title)}. {_tex(caption)} {legend}}}\n\\label{{tab:{rows['table'].iloc[0]}}}\n"
        f"\\begin{{tabular}}{{ll{'r' * len(table.header)}}}\n\\toprule\n{_latex_line(head)}\\midrule\n"
        + "\\midrule\n".join(blocks)
        + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def plain_markdown(rows: pd.DataFrame, title: str, caption: str) -> str:
    """Any table as a Markdown document, cell by cell."""
    body = ([str(cell) for cell in row] for row in rows.itertuples(index=False))
    return "\n".join([f"# {title}", "", caption, "", *markdown_table(list(rows), body), ""])


def plain_latex(rows: pd.DataFrame, name: str, title: str, caption: str) -> str:
    """Any table in LaTeX (package booktabs), cell by cell."""
    body = "".join(_latex_line([_tex(str(cell)) for cell in row]) for row in rows.itertuples(index=False))
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{_tex(title)}. {_tex(caption)}}}\n\\label{{tab:{name}}}\n"
        f"\\begin{{tabular}}{{{'l' * rows.shape[1]}}}\n\\toprule\n{_latex_line(map(_tex, rows))}\\midrule\n"
        f"{body}\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
    )


def terminal(rows: pd.DataFrame, width: int = 110, bold: bool = False) -> str:
    """Text for a terminal: titles wrapped, values and marks aligned, the best in bold or, without `bold`, starred."""
    table = grid(rows)
    head = [[], [], *(textwrap.wrap(f"{name} {arrow}", 12) for name, arrow in table.header)]
    height = max(map(len, head))
    lines = [[*[""] * (height - len(title)), *title] for title in head]
    body = [list(line) for line in zip(*lines, strict=True)]
    first = len(body)
    for base, block in table.blocks:
        body += [[base if i == 0 else "", name, *map(_terminal_cell, cells)] for i, (name, cells) in enumerate(block)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    text = [_aligned(line, widths).rstrip() for line in body]
    text.insert(first, "─" * (sum(widths) + 2 * len(widths) - 2))
    legend = textwrap.fill(preamble(rows, margins=False), width)
    shown = "\n".join([f"{rows['table'].iloc[0]} ({rows['scale'].iloc[0]} scale)", *text, legend])
    return _emboldened(shown) if bold else shown


def _best(rows: pd.DataFrame) -> set[int]:
    """Indices of the best values, as printed, of each base and column; none where all are the same."""
    found: set[int] = set()
    for (_, _), cells in rows[rows["ours"].notna()].groupby(["base", "column"]):
        shown = cells["ours"].round(int(cells["decimals"].iloc[0]))
        top = shown.min() if cells["better"].iloc[0] == "lower" else shown.max()
        if shown.nunique() > 1:
            found.update(cells.index[shown == top])
    return found


def _cell(cell, best: bool) -> Cell:
    if math.isnan(cell.ours):
        return Cell(EMPTY, "", "", "", False)
    digits = int(cell.decimals)
    paper = f"{cell.paper:.{digits}f}" if cell.scale == PAPER and not math.isnan(cell.paper) else ""
    margin = (cell.ci_high - cell.ci_low) / 2
    mark = MARKS.get(str(cell.verdict).split("; ")[0], "")
    return Cell(f"{cell.ours:.{digits}f}", f"{margin:.{digits}f}", paper, mark, best)


def _counts(rows: pd.DataFrame) -> str:
    counts = rows["n"].dropna().astype(int)
    if counts.empty:
        return "0"
    return f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"


def _markdown_cell(cell: Cell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    margin = f"± {cell.margin}" if cell.margin else ""
    paper = f"({cell.paper})" if cell.paper else ""
    return " ".join(filter(None, [value, margin, paper, cell.mark]))


def _reported(rows: pd.DataFrame) -> pd.DataFrame:
    """Cells that have a value or say why not; a row may lack a column."""
    return rows[rows["ours"].notna() | rows["verdict"].fillna("").ne("")]


def _verdict_line(cell) -> list[str]:
    digits = int(cell.decimals)
    paper = [_number(cell.paper, digits)] if cell.scale == PAPER else []
    difference, expected = "", ""
    if not math.isnan(cell.difference):
        bounds = [
            _number(bound, digits + 1, "+") for bound in (cell.difference, cell.difference_low, cell.difference_high)
        ]
        difference = f"{bounds[0]} [{bounds[1]}, {bounds[2]}] to {cell.against}"
        expected = {1: "higher", -1: "lower"}.get(int(cell.expected), "")
    verdict = cell.verdict if isinstance(cell.verdict, str) else ""
    ours, count = _number(cell.ours, digits + 1), _number(cell.n, 0)
    return [cell.base, cell.row, cell.title, ours, *paper, difference, expected, count, verdict]


def _number(value: float, digits: int, sign: str = "") -> str:
    return "" if math.isnan(value) else f"{value:{sign}.{digits}f}"


def _commands(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows[rows["command"].notna()].drop_duplicates(["base", "row"]).itertuples():
        yield f"* {row.base}, {row.row}: `{row.command}`"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\\n"


def _latex_cell(cell: Cell) -> str:
    value = cell.value.replace("-", "$-$").replace(EMPTY, "--")
    value = rf"\textbf{{{value}}}" if cell.best else value
    margin = rf"{{\scriptsize$\pm${cell.margin}}}" if cell.margin else ""
    paper = f"({cell.paper})".replace("-", "$-$") if cell.paper else ""
    return " ".join(filter(None, [f"{value}{margin}", paper, LATEX_MARKS[cell.mark]]))


def _tex(text: str) -> str:
    return "".join(LATEX_ESCAPES.get(character, character) for character in text).replace("±", r"$\pm$")


def _terminal_cell(cell: Cell) -> str:
    paper = f"({cell.paper}) " if cell.paper else ""
    return f"{cell.value}{'*' if cell.best else ' '} {paper}{cell.mark:<3}"


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    texts, numbers = line[:2], line[2:]
    left = [text.ljust(width) for text, width in zip(texts, widths[:2], strict=True)]
    right = [text.rjust(width) for text, width in zip(numbers, widths[2:], strict=True)]
    return "  ".join([*left, *right])


def _emboldened(text: str) -> str:
    import re

    return re.sub(r"(-?[\d.]+)\*", "\033[1m\\1\033[0m ", text)
