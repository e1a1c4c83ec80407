"""The costs of targets: of each alone, and of all together, where what they share counts once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import UserError
from ..jobs import Job
from ..spec import Config
from ..spec.problems import unknown
from ..spec.targets import PAPERS, target_names
from .estimate import ESTIMATED, MEASURED, Cost
from .graph import Graph
from .sources import Downloads, downloads, sources_of

TOTAL = "together"
CHECKS = "validity"


@dataclass(frozen=True)
class Row:
    """What a target still needs: jobs, hours, gigabytes. `measured` is the share of its GPU-hours that was measured.

    `lacking` are models whose FLOPs were never counted: their jobs are not among the hours.
    """

    target: str
    jobs: int
    gpu_jobs: int
    gpu_hours: float
    measured: float
    cpu_hours: float
    gb_written: float
    downloads: Downloads
    lacking: tuple[str, ...]


def targets_of(names: Sequence[str], config: Config, scale: str) -> list[str]:
    """Targets of names: a paper is all of its tables, figures and studies, no name is everything.

    UserError for a name that is neither a target nor a path.
    """
    everything = sorted(target_names(config, scale))
    others = [CHECKS, "all", "assumptions", "directions", *(f"{paper}_directions" for paper in PAPERS)]
    known = [*PAPERS, *everything, *others]
    found: list[str] = []
    for name in names or ["all"]:
        if "/" not in name and name not in known:
            raise UserError(f"unknown target {unknown(name, known)} A file is named by its path, results/…")
        if name == "all":
            found += [*everything, CHECKS]
        else:
            found += sorted(target_names(config, scale, name)) if name in PAPERS else [name]
    return list(dict.fromkeys(found))


def plan(targets: Sequence[str], jobs: Sequence[Job], costs: Sequence[Cost], config: Config) -> list[Row]:
    """A row for each target, and of several one of all together."""
    graph = Graph(jobs)
    needed = {target: graph.needed_for(target) for target in targets}
    rows = [_row(target, numbers, jobs, costs, config) for target, numbers in needed.items()]
    if len(rows) > 1:
        rows.append(_row(TOTAL, set().union(*needed.values()), jobs, costs, config))
    return rows


def _row(target: str, numbers: Iterable[int], jobs: Sequence[Job], costs: Sequence[Cost], config: Config) -> Row:
    numbers = sorted(numbers)
    found = [costs[number] for number in numbers]
    known = sum(cost.gpu_seconds for cost in found if cost.basis in (MEASURED, ESTIMATED))
    measured = sum(cost.gpu_seconds for cost in found if cost.basis == MEASURED)
    return Row(
        target,
        len(numbers),
        sum(jobs[number].gpus > 0 for number in numbers),
        known / 3600,
        measured / known if known else 0.0,
        sum(cost.cpu_seconds for cost in found) / 3600,
        sum(cost.bytes_written for cost in found) / 1e9,
        downloads(config, {source for number in numbers for source in sources_of(jobs[number])}),
        tuple(dict.fromkeys(cost.lacking for cost in found if cost.lacking)),
    )
