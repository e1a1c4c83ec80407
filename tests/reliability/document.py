"""docs/reliability.md from what the tests of breakdowns and the soak saw."""

from __future__ import annotations

from pathlib import Path

from workflow_scripts.lib.files import atomic_write, read_json

from .record import FOLDER

OUT = Path(__file__).resolve().parents[2] / "docs/reliability.md"
HEADER = """<!-- Written by `make reliability`; change tests/reliability/document.py -->
# What happens when things break

Each line was tried: on a copy of the tiny run something is broken in the middle of a step, the same command is given
again (or the head tries again by itself), and the results are compared byte for byte with those of an undisturbed run.
`make reliability` tries all of it again. What needs SLURM runs on a cluster of one machine with four virtual nodes.

| what breaks | jobs | whole shards kept | seconds | results |
|---|---:|---:|---:|---|
"""
SOAK = """
## A soak

`make soak` starts the tiny chain (samples, rewards, a table, figures, SFT, DPO and GRPO), kills it with `kill -9` at a
random moment, and gives the same command again. With seed {seed}, in {minutes} minutes:

| | |
|---|---:|
{rows}

A file counts as made again if it was whole at the kill and is another one afterwards: a job had written it, and the
head died before it knew. It is then made again, equal.
"""


def lines() -> list[str]:
    """A line for each breakdown that was tried."""
    seen = [read_json(path) for path in sorted((FOLDER / "failures").glob("*.json"))]
    return [
        f"| {one['what']} | {one.get('jobs', '')} | {one.get('kept_shards') or ''} | {one.get('seconds', '')} "
        f"| {one['result']} |"
        for one in seen
    ]


def soak() -> str:
    """The soak's counts, if it was run."""
    if not (FOLDER / "soak.json").exists():
        return ""
    counts = read_json(FOLDER / "soak.json")
    about = {name: counts.pop(name) for name in ("seed", "minutes")}
    kills = {f"kills of {victim}": number for victim, number in counts.pop("kills").items()}
    rows = {"kills": sum(kills.values()), **kills, **{name.replace("_", " "): value for name, value in counts.items()}}
    return SOAK.format(**about, rows="\n".join(f"| {name} | {value:,} |" for name, value in rows.items()))


def main() -> None:
    with atomic_write(OUT) as temporary:
        temporary.write_text(HEADER + "\n".join(lines()) + "\n" + soak())
    print(f"written: {OUT}")


if __name__ == "__main__":
    main()
