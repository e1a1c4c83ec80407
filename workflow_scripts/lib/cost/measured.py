"""What finished jobs took: seconds by what a job does, from the benchmark files that Snakemake writes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from .jobs import Job

Subject = tuple[str, str]
"""Rule, and what jobs must share to cost the same per image."""


def measured_seconds(jobs: Iterable[Job], subject_of: Callable[[Job], str]) -> dict[Subject, float]:
    """Median seconds of a process, by rule and subject: per image, or per job of a rule that counts none."""
    found: dict[Subject, list[float]] = defaultdict(list)
    for job in jobs:
        if job.benchmark and (seconds := read_benchmark(Path(job.benchmark))):
            found[job.rule, subject_of(job)].append(seconds * max(1, job.gpus) / (job.images or 1))
    return {key: median(values) for key, values in found.items()}


def read_benchmark(path: Path) -> float | None:
    """Mean wall seconds of the repetitions in a benchmark file (JSON lines, key `s`); None where there is none.

    A job that was stopped and went on has the time of its last part only.
    """
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return sum(line["s"] for line in lines) / len(lines) if lines else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
