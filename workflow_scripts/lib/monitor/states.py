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
    queue = slurm_states([marker.external_id for marker in markers if marker and marker.external_id])
    return [_seen(job, marker, failed, heads, queue) for job, marker in zip(jobs, markers, strict=True)]


def _seen(
    job: Job, marker: Marker | None, failed: dict[str, list[str]], heads: bool, queue: dict[str, str] | None
) -> Seen:
    if not job.needed:
        return Seen(job, DONE)
    if (writer := writer_of(job)) is not None:
        return Seen(job, RUNNING, _age(writer.get("since", time.time())), job.log)
    if marker:
        state = _state_of_begun(marker, heads, queue)
        return Seen(job, state, _age(marker.since), job.log, begun=state == WAITING)
    if job.output[0] in failed:
        return Seen(job, FAILED, logs=failed[job.output[0]] or job.log)
    return Seen(job, WAITING)


def _state_of_begun(marker: Marker, heads: bool, queue: dict[str, str] | None) -> str:
    """A marker outlives a killed head: then SLURM knows whether the job lives; a local one without a head does not."""
    if marker.external_id and queue is not None:
        at_slurm = queue.get(marker.external_id)
        if at_slurm is None:  # it has ended; a head that lives will notice
            return RUNNING if heads else WAITING
        return QUEUED if at_slurm in PENDING else RUNNING
    return RUNNING if heads else WAITING


def writer_of(job: Job) -> dict | None:
    """Who holds the lock of the job's first file, also without a head: jobs that write shards or states take it."""
    return holder(lock_of(Path(job.output[0])))


def slurm_states(ids: Sequence[str]) -> dict[str, str] | None:
    """State of each of these SLURM jobs that is not over; None where there is no squeue, or it does not answer."""
    if not ids or shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--format=%i|%T", f"--jobs={','.join(ids)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SQUEUE_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return {} if "Invalid job id" in done.stderr else None
    return dict(line.split("|", 1) for line in done.stdout.split())


def _age(since: float) -> float:
    return max(0.0, time.time() - since)
