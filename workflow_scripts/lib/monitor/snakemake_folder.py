"""What Snakemake leaves in `.snakemake`: heads and locks, markers of jobs that began, failures in its own logs."""

from __future__ import annotations

import json
import os
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..head_processes import HEADS, LOCKS
from ..locks import described, holder

HEADER = re.compile(r"(Error in rule|rule|localrule|checkpoint) (\w+):$")
DETAIL = re.compile(r"    (jobid|output|log): (.+)")
RESTART = re.compile(r"Trying to restart job (\d+)\.")
ENDED_BY_THE_USER = "Terminating processes on user request"
LONGEST_PART = 254
"""Of a marker's name: Snakemake cuts names into folders at what file systems allow (255), less one."""


@dataclass(frozen=True)
class Marker:
    """A job that began and has not ended: since when (s since 1970), and its number at the cluster, if it has one."""

    since: float
    external_id: str | None


def living_heads(folder: Path) -> list[dict]:
    """Who runs `snakemake` in the folder of this `.snakemake` now."""
    found = (holder(path) for path in sorted((folder / HEADS).glob("*.lock")))
    return [owner for owner in found if owner is not None]


def about_heads(folder: Path) -> list[str]:
    """A sentence for each living head, or for what a dead one left."""
    if heads := living_heads(folder):
        return [f"head: {described(head)}" for head in heads]
    if any((folder / LOCKS).glob("*.lock")):
        return [
            "no head runs; the last one was killed and left its locks: the next `snakemake` removes them "
            "(or `snakemake --unlock`)"
        ]
    return ["no head runs"]


def marker_of(outputs: Iterable[str], folder: Path) -> Marker | None:
    """The marker of the job that makes these files, None if it has not begun or has ended."""
    for path in (folder / "incomplete" / _file_name(output) for output in outputs):
        try:
            about, since = json.loads(path.read_text()), path.stat().st_mtime
        except (OSError, ValueError):  # it ended just now, or its marker is being written
            continue
        return Marker(since, about.get("external_jobid"))
    return None


def _file_name(output: str) -> Path:
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + LONGEST_PART] for i in range(0, len(name), LONGEST_PART)]
    return Path(*(f"@{part}" for part in parts[:-1]), parts[-1])


def failures(folder: Path) -> dict[str, list[str]]:
    """Logs of each job that failed and was not started again since, by each of its outputs; of all runs."""
    failed: dict[str, list[str]] = {}
    for path in sorted((folder / "log").glob("*.snakemake.log"), key=os.path.getmtime):
        _follow(path.read_text(errors="replace").splitlines(), failed)
    return failed


def _follow(lines: Iterable[str], failed: dict[str, list[str]]) -> None:
    """Read one run: a job that starts takes its failure back, one that fails leaves its logs."""
    kind, block, outputs_of = None, {}, {}
    for line in lines:
        if line.startswith(ENDED_BY_THE_USER):
            return
        if restart := RESTART.match(line):
            _forget(outputs_of.get(restart[1], []), failed)
        elif header := HEADER.match(line):
            kind, block = header[1], {}
        elif kind and (detail := DETAIL.match(line)):
            block[detail[1]] = detail[2].removesuffix(" (check log file(s) for error details)").split(", ")
            outputs = block.get("output", [])
            if "jobid" in block:
                outputs_of[block["jobid"][0]] = outputs
            _forget(outputs, failed)
            if kind.startswith("Error"):
                failed.update(dict.fromkeys(outputs, block.get("log", [])))
        elif not line.startswith("    "):
            kind = None


def _forget(outputs: Iterable[str], failed: dict[str, list[str]]) -> None:
    for output in outputs:
        failed.pop(output, None)
