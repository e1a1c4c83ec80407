"""Jobs of a plan, and which of them a target needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .. import jobs as planned


@dataclass(frozen=True)
class Job:
    """A job that Snakemake plans, or has done (`needed` False).

    `images` are those that it handles, frames for clips, 0 where its cost does not depend on them; `minutes` is the
    time that it asks for, None for a rule that the head process runs itself; `reads` are the jobs that it waits for.
    """

    number: int
    rule: str
    wildcards: Mapping[str, str]
    images: float
    threads: int
    gpus: int
    minutes: float | None
    outputs: tuple[str, ...]
    benchmark: str | None
    needed: bool
    reads: tuple[int, ...]


def graph_of(jobs: Sequence[planned.Job]) -> dict[int, Job]:
    """Jobs that Snakemake plans by number, and which of them each waits for: those that make what it reads."""
    makers = {path: number for number, job in enumerate(jobs) for path in job.output}
    return {number: _job(number, job, makers) for number, job in enumerate(jobs)}


def _job(number: int, job: planned.Job, makers: Mapping[str, int]) -> Job:
    return Job(
        number,
        job.rule,
        job.wildcards,
        job.images,
        job.threads,
        job.resources.get("gpu", 0),
        job.resources.get("runtime"),
        tuple(job.output),
        job.benchmark,
        job.needed,
        tuple(dict.fromkeys(makers[path] for path in job.input if path in makers)),
    )


def jobs_of_target(target: str, jobs: Mapping[int, Job]) -> set[int]:
    """Numbers of the jobs still needed for a rule without wildcards or for a file; the target rule itself is none."""
    roots = [number for number, job in jobs.items() if target == job.rule or target in job.outputs]
    return {number for number in _closure(roots, jobs) if jobs[number].outputs}


def _closure(roots: Iterable[int], jobs: Mapping[int, Job]) -> set[int]:
    """The roots and all that they wait for, as far as it is needed."""
    found: set[int] = set()
    waiting = [number for number in roots if jobs[number].needed]
    while waiting:
        number = waiting.pop()
        if number not in found:
            found.add(number)
            waiting += [one for one in jobs[number].reads if jobs[one].needed]
    return found
