"""All benchmarks, each in a process of its own, and a table of what they measured beside the goals.

python -m tests.benchmarks                all of them
python -m tests.benchmarks c7 h4          some
python -m tests.benchmarks h              those of a letter: h needs a GPU, c none
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from workflow_scripts.lib.cli import USER_ERROR
from workflow_scripts.lib.files import read_json

from .common import FOLDER

REFUSED = "NOT RUN"
Row = tuple[str, str, str, str]
HEADER: Row = ("benchmark", "measured", "goal", "")


def benchmarks() -> list[str]:
    """Names of all benchmarks in the order of letters and numbers: c1_orchestration, …, h4_grpo_epoch."""
    names = [path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")]
    return sorted(names, key=lambda name: (name[0], int(re.search(r"\d+", name)[0])))


def chosen(words: list[str]) -> list[str]:
    """The benchmarks that words name, by letter, number or whole name; all for none."""
    known = benchmarks()
    wrong = [word for word in words if not any(word in words_of(name) for name in known)]
    if wrong:
        sys.exit(f"error: unknown benchmark '{wrong[0]}'; known: {', '.join(known)}")
    return [name for name in known if not words or words_of(name) & set(words)]


def words_of(name: str) -> set[str]:
    """What a benchmark is called: h, h4, h4_grpo_epoch."""
    return {name, name.partition("_")[0], name[0]}


def run(name: str) -> list[Row]:
    """Run one benchmark; its rows of the table."""
    print(f"\n== {name}", flush=True)
    start = time.time()
    status = subprocess.run([sys.executable, "-m", f"{__package__}.bench_{name}"]).returncode
    print(f"   {time.time() - start:.0f} s", flush=True)
    if status == USER_ERROR:
        return [(name, "not measured: see its message above", "", REFUSED)]
    if status:
        return [(name, f"failed with status {status}", "", "FAILED")]
    found = read_json(FOLDER / f"{name}.json")
    if "not_measured" in found:
        return [(name, found["not_measured"], found["goal"], "")]
    return [row_of(name, one) for one in found["comparisons"]]


def row_of(name: str, comparison: dict) -> Row:
    """A comparison as a row."""
    met = {True: "met", False: "NOT met", None: ""}[comparison["reached"]]
    return (f"{name}: {comparison['what']}", f"{comparison['ratio']:.3g}", comparison["goal"] or "", met)


def table(rows: list[Row]) -> str:
    """Rows in columns."""
    widths = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [HEADER, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    rows = [row for name in chosen(sys.argv[1:]) for row in run(name)]
    print(f"\n{table(rows)}")
    states = {row[-1] for row in rows}
    sys.exit(1 if "FAILED" in states else USER_ERROR if REFUSED in states else 0)


if __name__ == "__main__":
    main()
