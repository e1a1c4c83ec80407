"""The jobs behind targets, as snakemake plans them: done or left, what each asks for, and what finished ones took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError

ONLY_LOOKS = "WORKFLOW_ONLY_LOOKS"
"""Environment variable of a snakemake that is no head: it makes nothing, and shall leave locks as they are."""


@dataclass(frozen=True)
class Job:
    """A job of the graph; one without output is a target.

    `images` are those that it handles, frames for clips, 0 where its cost does not depend on them; `resources` those of
    its first attempt (mem_mb in MB, runtime in minutes).
    """

    rule: str
    wildcards: dict[str, str]
    input: list[str]
    output: list[str]
    log: list[str]
    benchmark: str | None
    images: float
    threads: int
    resources: dict[str, Any]
    needed: bool

    @property
    def gpus(self) -> int:
        """GPUs that it asks for, on all its nodes."""
        return self.resources.get("gpu", 0)

    @property
    def minutes(self) -> float | None:
        """The time that it asks for; None of a rule that the head process runs itself."""
        return self.resources.get("runtime")


def benchmark_lines(path: Path) -> list[dict[str, Any]]:
    """What Snakemake measured of a job, a line for each run; empty for a file that is missing or being written."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError):
        return []
    return [line for line in lines if isinstance(line, dict) and "s" in line]


def planned_jobs(words: Sequence[str]) -> list[Job]:
    """Jobs of one graph that snakemake builds under these words (targets, --profile, --config).

    It takes no lock and writes nothing, so it may run beside a head. UserError with snakemake's words where it fails.
    """
    command = [sys.executable, "-m", "workflow_scripts.list_jobs", *words]
    environment = {**os.environ, ONLY_LOOKS: "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise UserError(f"snakemake cannot plan this: {done.stderr.strip()[-1500:]}")
    return [Job(**json.loads(line)) for line in done.stdout.splitlines() if line]
