"""What finished jobs took: seconds by what a job does, from the benchmark files that Snakemake writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median

from ..jobs import Job, benchmark_lines

Subject = tuple[str, str]
"""Rule, and what jobs must share to cost the same per image."""


def measured_seconds(jobs: Iterable[Job], subject_of: Callable[[Job], str]) -> dict[Subject, float]:
    """Median seconds of a process, by rule and subject: per image, or per job of a rule that counts none."""
    found: dict[Subject, list[float]] = defaultdict(list)
    for job in jobs:
        if job.benchmark and (seconds := seconds_of(Path(job.benchmark))):
            found[job.rule, subject_of(job)].append(seconds * max(1, job.gpus) / (job.images or 1))
    return {key: median(values) for key, values in found.items()}


def seconds_of(path: Path) -> float | None:
    """Mean wall seconds of the repetitions in a benchmark file; None where there are none.

    A job that was stopped and went on has the time of its last part only.
    """
    seconds = [line["s"] for line in benchmark_lines(path)]
    return mean(seconds) if seconds else None
