"""Hours and bytes of a job: measured where a like job has finished, else from FLOPs at a stated rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..jobs import Job
from ..spec import Config
from .disk import bytes_written
from .measured import Subject, measured_seconds
from .numbers import Numbers
from .work import Unknown, Work, Worker

MEASURED, ESTIMATED, UNKNOWN = "measured", "estimated", "unknown"


@dataclass(frozen=True)
class Cost:
    """Of a job; `basis` says how its GPU time, or that of a job without GPU its CPU time, is known."""

    gpu_seconds: float
    cpu_seconds: float
    bytes_written: float
    basis: str
    lacking: str = ""  # the model whose FLOPs were never counted


def costs_of(jobs: Sequence[Job], config: Config, numbers: Numbers) -> list[Cost]:
    """Of every job. Finished jobs among them, at this scale, are what is measured."""
    estimator = Estimator(Worker(config, numbers), {})
    measured = measured_seconds(jobs, estimator.subject)
    estimator = Estimator(estimator.worker, measured)
    return [estimator.cost(job) for job in jobs]


@dataclass(frozen=True)
class Estimator:
    """Estimates jobs one by one; `measured` are seconds of a process per image, by rule and subject."""

    worker: Worker
    measured: dict[Subject, float]

    def subject(self, job: Job) -> str:
        """What a job's cost per image depends on; empty for rules whose jobs are all alike."""
        try:
            work = self.worker.work(job)
        except Unknown as lacking:
            return str(lacking)
        return work.subject if work else ""

    def cost(self, job: Job) -> Cost:
        """Of one job."""
        written = bytes_written(job, self.worker)
        known = self.measured.get((job.rule, self.subject(job)))
        if known is not None:
            seconds = known * (job.images or 1)
            return Cost(seconds * bool(job.gpus), self._cpu(job, seconds), written, MEASURED)
        if not job.gpus:
            return Cost(0.0, self._cpu(job, self._seconds_of_cpu_job(job)), written, ESTIMATED)
        try:
            seconds = self.gpu_seconds(job, self.worker.work(job))
        except Unknown as lacking:
            return Cost(0.0, 0.0, written, UNKNOWN, str(lacking))
        return Cost(seconds, self._cpu(job, seconds), written, ESTIMATED)

    def gpu_seconds(self, job: Job, work: Work | None) -> float:
        """Of all GPUs of a job together, from its FLOPs."""
        if work is None:
            raise Unknown(f"rule {job.rule}")
        numbers = self.worker.numbers
        computing = sum(flops / numbers.flops_per_second(kind, work.generator) for kind, flops in work.flops.items())
        busy = max(work.reading, computing + work.seconds + work.waiting * job.gpus / job.threads)
        return job.gpus * numbers.seconds("start") + busy

    def _cpu(self, job: Job, seconds: float) -> float:
        """CPU seconds that a job holds: its threads, for as long as it runs."""
        return job.threads * seconds / max(1, job.gpus)

    def _seconds_of_cpu_job(self, job: Job) -> float:
        numbers = self.worker.numbers
        if job.minutes is None:
            return numbers.seconds("small_job")
        return 60 * job.minutes * numbers.costs["cpu_share_of_limit"]["value"]
