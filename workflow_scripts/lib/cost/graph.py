"""Which jobs a target needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..jobs import Job


@dataclass(frozen=True)
class Graph:
    """Jobs that Snakemake plans; a job waits for those that make what it reads."""

    jobs: Sequence[Job]

    @cached_property
    def _makers(self) -> dict[str, int]:
        return {path: number for number, job in enumerate(self.jobs) for path in job.output}

    def needed_for(self, target: str) -> set[int]:
        """Numbers of the jobs still needed for a rule without wildcards or a file; a target rule itself is none."""
        found: set[int] = set()
        waiting = [number for number, job in enumerate(self.jobs) if target == job.rule or target in job.output]
        while waiting:
            number = waiting.pop()
            job = self.jobs[number]
            if job.needed and number not in found:
                found.add(number)
                waiting += [self._makers[path] for path in job.input if path in self._makers]
        return {number for number in found if self.jobs[number].output}
