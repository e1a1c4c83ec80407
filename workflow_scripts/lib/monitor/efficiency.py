"""What jobs used of what they asked for, by rule, and what to ask for instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median

from .benchmarks import FOLDER, LOGS, Measured

HEADROOM = 1.4
"""What a job should ask for, over the most that one like it used."""
WASTED, TIGHT = 0.5, 0.9
"""Shares of what was asked for: less is wasted, more is soon too little."""
WASTED_MINUTES, LEAST_MINUTES = 0.2, 15
"""Minutes are limits, about three times what is expected (rules/resources.smk): to use few of them is no waste."""
MEMORY_STEP, LEAST_MEMORY = 1_000, 2_000  # MB
IDLE_THREADS = 0.5
GPU_MEMORY = re.compile(r"^peak GPU memory: (\d+) of (\d+) MB", re.MULTILINE)


@dataclass(frozen=True)
class Use:
    """The largest of a rule's jobs: what it used and asked for, in one unit."""

    used: float
    asked: float

    @property
    def share(self) -> float:
        """Of what was asked for."""
        return self.used / self.asked


@dataclass(frozen=True)
class Efficiency:
    """A rule's finished jobs. None: not measured or not recorded; `cpu` is the share of the threads' time."""

    rule: str
    jobs: int
    median_seconds: float
    longest_seconds: float
    threads: int
    cpu: float | None
    memory_mb: Use | None
    minutes: Use | None
    gpu_memory_mb: Use | None


def efficiency_of(measured: Sequence[Measured]) -> list[Efficiency]:
    """A row for each rule, by the time that all its jobs took."""
    groups: dict[str, list[Measured]] = {}
    for one in measured:
        groups.setdefault(one.rule, []).append(one)
    ordered = sorted(groups.items(), key=lambda group: -sum(one.seconds for one in group[1]))
    return [_row(rule, group) for rule, group in ordered]


def _row(rule: str, group: Sequence[Measured]) -> Efficiency:
    seconds, threads = [one.seconds for one in group], max(one.threads for one in group)
    here = [one for one in group if "mpi" not in one.asked]  # what srun starts is no child of the job that is measured
    looked_at = [one for one in here if one.cpu_seconds is not None]
    offered = sum(one.seconds * one.threads for one in looked_at)
    cpu = sum(one.cpu_seconds for one in looked_at) / offered if offered else None
    memory = largest((one.memory_mb, _asked(one, "mem_mb")) for one in here)
    minutes = largest((one.seconds / 60, _asked(one, "runtime")) for one in group)
    gpu = largest(pair for one in group for pair in gpu_memory(log_of(one.path)))
    return Efficiency(rule, len(group), median(seconds), max(seconds), threads, cpu, memory, minutes, gpu)


def _asked(one: Measured, resource: str) -> float | None:
    value = one.asked.get(resource)
    return float(value) if isinstance(value, int | float) else None


def largest(pairs: Iterable[tuple[float | None, float | None]]) -> Use | None:
    """The pair of (used, asked) with the largest share; None if there is none with both."""
    uses = [Use(used, asked) for used, asked in pairs if used is not None and asked]
    return max(uses, key=lambda use: use.share, default=None)


def log_of(benchmark: Path) -> Path:
    """The log of a job, which lies as its benchmark does."""
    parts = list(benchmark.with_suffix(".log").parts)
    parts[parts.index(FOLDER)] = LOGS
    return Path(*parts)


def gpu_memory(log: Path) -> list[tuple[float, float]]:
    """(peak, size) in MB of the GPU of each process of a job, as its log has it (`lib/cli.py`)."""
    if not log.is_file():
        return []
    return [(float(peak), float(size)) for peak, size in GPU_MEMORY.findall(log.read_text(errors="replace"))]


def advice(one: Efficiency) -> list[str]:
    """What to change in a rule's resources, if anything, each with its reason."""
    return [said for said in (_on_memory(one), _on_minutes(one), _on_threads(one)) if said]


def _on_memory(one: Efficiency) -> str | None:
    if (use := one.memory_mb) is None:
        return None
    enough = max(LEAST_MEMORY, ceil(HEADROOM * use.used / MEMORY_STEP) * MEMORY_STEP)
    said = f"{one.rule} asks for {use.asked:,.0f} MB and used at most {use.used:,.0f}"
    if use.share > TIGHT:
        return f"{said}: mem_mb {enough} is safer"
    return f"{said}: mem_mb {enough} would do" if use.share < WASTED and enough < use.asked else None


def _on_minutes(one: Efficiency) -> str | None:
    if (use := one.minutes) is None:
        return None
    said = f"{one.rule} asks for {use.asked:,.0f} minutes and took at most {use.used:,.1f}"
    if use.share > TIGHT:
        return f"{said}: runtime {ceil(2 * use.used)} is safer"
    enough = max(LEAST_MINUTES, ceil(3 * use.used))
    return f"{said}: runtime {enough} would do" if use.share < WASTED_MINUTES and enough < use.asked else None


def _on_threads(one: Efficiency) -> str | None:
    if one.cpu is None or one.threads == 1 or one.cpu >= IDLE_THREADS:
        return None
    enough = max(1, ceil(one.cpu * one.threads * HEADROOM))
    busy = f"{one.cpu * one.threads:.1f}"
    return f"{one.rule} has {one.threads} threads and kept {busy} busy: threads {enough} would do"
