"""Measuring a ratio side by side: two variants in one process, interleaved A/B/B/A, their outputs compared."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.lib.files import write_json

FOLDER = Path("results/benchmarks")
Variant = Callable[[], Any]


@dataclass(frozen=True)
class Comparison:
    """`ratio` is the median over rounds, `low` and `high` their span; `ours` and `baseline` are medians in `unit`."""

    what: str
    ratio: float
    low: float
    high: float
    rounds: int
    ours: float
    baseline: float
    unit: str
    goal: str | None
    reached: bool | None

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"; goal {self.goal}: {'reached' if self.reached else 'NOT REACHED'}"
        spread = f", {self.low:.3f} to {self.high:.3f} in {self.rounds} rounds" if self.rounds > 1 else ""
        return f"{self.what}: {self.ratio:.3f}{spread} ({self.ours:.5g} against {self.baseline:.5g} {self.unit}){goal}"


def compare(
    what: str,
    ours: Variant,
    baseline: Variant,
    *,
    same: Callable[[Any, Any], bool],
    goal: float | None = None,
    speedup: bool = False,
    rounds: int = 7,
    clock: str = "cpu",
) -> Comparison:
    """Time both variants interleaved, after one round of warm-up, and print the ratio against its goal.

    The ratio is ours / baseline and the goal an upper bound; with `speedup` it is baseline / ours and the goal a lower
    bound. `clock` is "cpu" (user and system time of this process and its finished children) or "wall".
    `same(ours(), baseline())` is asserted in every round, outside of the timing.
    """
    now = {"cpu": cpu_seconds, "wall": time.perf_counter}[clock]
    pairs = [_round(ours, baseline, now, same) for _ in range(rounds + 1)][1:]
    ratios = [b / a if speedup else a / b for a, b in pairs]
    seconds = [statistics.median(side) / 2 for side in zip(*pairs, strict=True)]
    return compared(what, ratios, *seconds, f"{clock} s", goal, speedup)


def compare_numbers(what: str, ours: float, baseline: float, unit: str, *, goal: float | None = None) -> Comparison:
    """The ratio ours / baseline of two numbers that need no repetition, such as bytes; the goal is an upper bound."""
    return compared(what, [ours / baseline], ours, baseline, unit, goal, False)


def cpu_seconds() -> float:
    """User and system seconds of this process and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the disk that holds the results (a memory disk would flatter), removed afterwards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix="scratch-") as folder:
        yield Path(folder)


def report(name: str, comparisons: list[Comparison], **about: Any) -> None:
    """Write `results/benchmarks/<name>.json`: the machine, whatever else is given, and the comparisons."""
    machine = {"cpu": _cpu_model(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    content = {"machine": machine, "python": platform.python_version(), **about}
    write_json(FOLDER / f"{name}.json", {**content, "comparisons": [asdict(one) for one in comparisons]})


def _round(ours: Variant, baseline: Variant, now: Callable[[], float], same: Any) -> tuple[float, float]:
    """Seconds of two calls each, in the order A B B A, so that a drift of the machine hits both sides alike."""
    seconds, results = {ours: 0.0, baseline: 0.0}, {}
    for variant in (ours, baseline, baseline, ours):
        start = now()
        results[variant] = variant()
        seconds[variant] += now() - start
    assert same(results[ours], results[baseline]), "the two sides made different things"
    return seconds[ours], seconds[baseline]


def compared(
    what: str, ratios: list[float], ours: float, baseline: float, unit: str, goal: float | None, speedup: bool
) -> Comparison:
    """The median of ratios that were measured in rounds, printed; `ours` and `baseline` are what they are made of."""
    ratio = statistics.median(ratios)
    text = None if goal is None else f"{'>=' if speedup else '<='} {goal:g}"
    reached = None if goal is None else ratio >= goal if speedup else ratio <= goal
    result = Comparison(what, ratio, min(ratios), max(ratios), len(ratios), ours, baseline, unit, text, reached)
    print(result, flush=True)
    return result


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
