"""In which state each job is: done, running, queued at the cluster, waiting or failed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..jobs import Job
from ..locks import holder, lock_of
from .snakemake_folder import Marker, failures, living_heads, marker_of

DONE, RUNNING, QUEUED, WAITING, FAILED = STATES = ("done", "running", "queued", "waiting", "failed")
SQUEUE_SECONDS = 20
PENDING = ("PENDING", "CONFIGURING")


@dataclass(frozen=True)
class Seen:
    """A job as it stands: since how many seconds it runs or is queued, and its logs, which may not exist yet."""

    job: Job
    state: str
    seconds: float = 0.0
    logs: list[str] = field(default_factory=list)
    begun: bool = False
    """Whether a job that waits was interrupted: it goes on from what it has saved."""


def look(jobs: Sequence[Job], folder: Path) -> list[Seen]:
    """The state of every job; `folder` is Snakemake's own (.snakemake). Nothing is written or locked."""
    failed, heads = failures(folder), bool(living_heads(folder))
    markers = [marker_of(job.output, folder) if job.needed else None for job in jobs]
    queue = slurm_states() if any(markers) else None
    return [_seen(job, marker, failed, heads, queue) for job, marker in zip(jobs, markers, strict=True)]


def _seen(
    job: Job, marker: Marker | None, failed: dict[str, list[str]], heads: bool, queue: dict[str, str] | None
) -> Seen:
    if not job.needed:
        return Seen(job, DONE)
    if (writer := writer_of(job)) is not None:
        return Seen(job, RUNNING, _age(writer.get("since", time.time())), job.log)
    if marker:
        state = _state_of_begun(job, marker, heads, queue)
        return Seen(job, state, _age(marker.since), job.log, begun=state == WAITING)
    if job.output[0] in failed:
        return Seen(job, FAILED, logs=failed[job.output[0]] or job.log)
    return Seen(job, WAITING)


def _state_of_begun(job: Job, marker: Marker, heads: bool, queue: dict[str, str] | None) -> str:
    """A marker outlives a killed head: then SLURM knows whether the job lives; a local one without a head does not.

    The marker has the job's number at SLURM until the job itself begins; from then on its comment tells it.
    """
    at_slurm = (queue or {}).get(marker.external_id or comment_of(job))
    if at_slurm is None:  # a local job, or one that has ended, which a head that lives will notice
        return RUNNING if heads else WAITING
    return QUEUED if at_slurm in PENDING else RUNNING


def comment_of(job: Job) -> str:
    """The comment that Snakemake's SLURM executor gives a job."""
    wildcards = "_".join(job.wildcards.values()).replace("/", "_")
    return f"rule_{job.rule}_wildcards_{wildcards}" if wildcards else f"rule_{job.rule}"


def writer_of(job: Job) -> dict | None:
    """Who holds the lock of the job's first file, also without a head: jobs that write shards or states take it."""
    return holder(lock_of(Path(job.output[0])))


def slurm_states() -> dict[str, str] | None:
    """State of this user's SLURM jobs that were submitted in this folder and are not over, by number and by comment.

    None where there is no squeue, or it does not answer.
    """
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%Z|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SQUEUE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    jobs = [line.split("|", 3) for line in done.stdout.splitlines() if line]
    here = [(number, comment, state) for number, state, folder, comment in jobs if Path(folder) == Path.cwd()]
    return {name: state for number, comment, state in here for name in (number, comment)}


def _age(since: float) -> float:
    return max(0.0, time.time() - since)
