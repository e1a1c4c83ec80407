"""What jobs took, from the benchmark files that Snakemake writes beside the results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..jobs import Job, benchmark_lines

FOLDER, LOGS = "benchmarks", "logs"


@dataclass(frozen=True)
class Measured:
    """A finished job: seconds, MB of memory, CPU seconds (None: too short to be looked at), and what it asked for."""

    rule: str
    seconds: float
    memory_mb: float | None
    cpu_seconds: float | None
    threads: int
    wildcards: Mapping[str, str]
    asked: Mapping[str, Any]
    path: Path


def folders_of(jobs: Iterable[Job]) -> list[Path]:
    """The folders of benchmarks of all scales that these jobs belong to."""
    paths = (Path(job.benchmark) for job in jobs if job.benchmark)
    return sorted({Path(*path.parts[: path.parts.index(FOLDER) + 1]) for path in paths})


def read_benchmarks(folders: Iterable[Path]) -> list[Measured]:
    """All that was measured below these folders (results/{scale}benchmarks), but files that are being written."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.jsonl"))
    return [_measured(line, path) for path in paths for line in benchmark_lines(path)]


def _measured(line: Mapping[str, Any], path: Path) -> Measured:
    """A line as Snakemake 9 writes it; without `benchmark-extended` it lacks the rule, whose name the folder has."""
    return Measured(
        line.get("rule_name") or path.parts[path.parts.index(FOLDER) + 1],
        float(line["s"]),
        _number(line.get("max_rss")),
        _number(line.get("cpu_time")),
        int(line.get("threads") or 1),
        line.get("wildcards") or {},
        line.get("resources") or {},
        path,
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def expected_seconds(rule: str, wildcards: Mapping[str, str], measured: Sequence[Measured]) -> float | None:
    """The median of the rule's jobs most like this one, which have the most equal wildcards. None: never measured."""
    alike = [(len(wildcards.items() & one.wildcards.items()), one.seconds) for one in measured if one.rule == rule]
    if not alike:
        return None
    closest = max(likeness for likeness, _ in alike)
    return median(seconds for likeness, seconds in alike if likeness == closest)
