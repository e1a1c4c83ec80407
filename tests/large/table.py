"""docs/models-proof.md: `python -m tests.large.table` counts every network and prints what large tests recorded."""

from __future__ import annotations

import json

import torch

from workflow_scripts.lib.models import ROOT

from .architectures import NETWORKS
from .workspace import RECORDS

PAGE = ROOT / "docs" / "models-proof.md"
BEGIN, END = "<!-- {} -->", "<!-- end of {} -->"


def networks() -> list[str]:
    """A row for every network: its parameters, those published, and where."""
    rows = ["| network | parameters | published | where |", "|---|---|---|---|"]
    for network in NETWORKS.values():
        with torch.device("meta"):
            count = network.parameters(network.build())
        rows.append(f"| {network.title} | {count:,} | {network.shown} | {network.where} |")
    return rows


def runs(page: str) -> list[str]:
    """A row for every entry that was run, by its last record; rows of the page without a record here stay."""
    heading = ["| entry | what was run | smaller than published | minutes | memory |", "|---|---|---|---|---|"]
    rows = {row.split("`")[1]: row for row in between(page, "runs").splitlines() if row.startswith("| `")}
    for line in RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else ():
        record = json.loads(line)
        minutes = sum(run["seconds"] for run in record["runs"]) / 60
        peak = max(run["peak_gb"] for run in record["runs"])
        about = f"{record['ran']} | {record['reduced']} | {minutes:.1f} | {peak:.1f} GB"
        rows[record["title"]] = f"| `{record['title']}` | {about} |"
    return heading + [rows[title] for title in sorted(rows)]


def between(page: str, name: str) -> str:
    """What stands between the two marks of a table."""
    return page.partition(BEGIN.format(name))[2].partition(END.format(name))[0]


def replaced(page: str, name: str, rows: list[str]) -> str:
    """The page with these rows between its two marks."""
    return page.replace(between(page, name), "\n".join(["", "", *rows, "", ""]))


def main() -> None:
    """Write both tables."""
    page = PAGE.read_text(encoding="utf-8")
    for name, rows in (("networks", networks()), ("runs", runs(page))):
        page = replaced(page, name, rows)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
