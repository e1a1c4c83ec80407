"""How tests submit: the repository's own profile, the site of the test cluster, and less waiting."""

from __future__ import annotations

import subprocess

from tests.workflow.study import SNAKEMAKE, Study

PARTITIONS = {
    "cpu": {"max_runtime": 60, "max_mem_mb": 16000, "max_threads": 8, "max_gpu": 0},
    "gpu": {"max_runtime": 120, "max_mem_mb": 64000, "max_threads": 16, "max_gpu": 4},
}
PROFILE = ("--profile", "profiles/slurm", "--software-deployment-method", "env-modules")  # the environment as it is
QUICK = ("--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "3", "--config", "scale=tiny")


def take_site(study: Study) -> None:
    """Name the test cluster's partitions in a study's profile."""
    study.edit("profiles/slurm/partitions.yaml", lambda site: site.update(partitions=PARTITIONS))


def submit(study: Study, *words: str) -> subprocess.Popen:
    """Start a head with targets, then options; what it says goes to head.log in the study."""
    with open(study.root / "head.log", "a") as log:
        return study.start(*SNAKEMAKE, *words, *PROFILE, "--verbose", *QUICK, log=log)


def queue(field: str) -> list[str]:
    """A field of squeue's, such as %i (job) or %N (node), of all jobs that are running."""
    command = ["squeue", "--noheader", "--states=R", f"--format={field}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
