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


def runs() -> list[str]:
    """A row for every entry that was run, by its last record."""
    if not RECORDS.exists():
        return []
    rows = ["| entry | what was run | smaller than published | minutes | memory |", "|---|---|---|---|---|"]
    records = {}
    for line in RECORDS.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        records[record["title"]] = record
    for title, record in sorted(records.items()):
        minutes = sum(run["seconds"] for run in record["runs"]) / 60
        peak = max(run["peak_gb"] for run in record["runs"])
        rows.append(f"| `{title}` | {record['ran']} | {record['reduced']} | {minutes:.1f} | {peak:.1f} GB |")
    return rows


def replaced(page: str, name: str, rows: list[str]) -> str:
    """The page with these rows between its two marks; unchanged without rows."""
    if not rows:
        return page
    head, _, rest = page.partition(BEGIN.format(name))
    tail = rest.partition(END.format(name))[2]
    return "\n".join([head + BEGIN.format(name), "", *rows, "", END.format(name)]) + tail


def main() -> None:
    """Write both tables."""
    page = PAGE.read_text(encoding="utf-8")
    for name, rows in (("networks", networks()), ("runs", runs())):
        page = replaced(page, name, rows)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
