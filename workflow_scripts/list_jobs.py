"""List the jobs behind targets as JSON lines: what each needs, writes and asks for, and whether it is still to be done.

The words are those of snakemake (targets, --profile, --config). Nothing is run, locked or written.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake.dag import DAG
    from snakemake.jobs import Job

MORE_CORES_THAN_ANY_JOB_ASKS_FOR = 100_000  # threads shall not be cut to the cores of this machine


def main() -> None:
    """Let snakemake build its graph as for `--summary`, with all settings of its profiles, and print jobs instead."""
    from snakemake.cli import main as snakemake
    from snakemake.dag import DAG
    from snakemake.persistence import PersistenceBase

    DAG.summary = summary
    PersistenceBase.drop_iocache = lambda self: None  # it removes a file, and fails in a folder that cannot be written
    cores = ["--cores", str(MORE_CORES_THAN_ANY_JOB_ASKS_FOR)]
    with redirect_stdout(sys.stderr):  # where a dry run, which writes no log of its own, would say what it does
        snakemake([*sys.argv[1:], "--summary", "--dry-run", *cores])


async def summary(dag: DAG, detailed: bool = False) -> AsyncIterator[str]:
    """Print a line for each job, after those that it waits for; leaves snakemake nothing to print."""
    for level in dag.toposorted():
        for job in sorted(level, key=lambda one: (one.rule.name, str(one.output))):
            print(json.dumps(about(job, dag)), file=sys.__stdout__)
    for line in ():
        yield line


def about(job: Job, dag: DAG) -> dict[str, Any]:
    """What is known of a job before it runs."""
    resources = {name: value for name, value in job.resources.items() if not name.startswith("_")}
    return {
        "rule": job.rule.name,
        "wildcards": job.wildcards_dict,
        "input": list(map(str, job.input)),
        "output": list(map(str, job.output)),
        "log": list(map(str, job.log)),
        "benchmark": str(job.benchmark) if job.benchmark else None,
        "images": dag.workflow.globals["images_of_rule"](job.rule.name, job.wildcards),
        "threads": job.threads,
        "resources": {name: value for name, value in resources.items() if isinstance(value, int | float | str)},
        "needed": dag.needrun(job),
    }


if __name__ == "__main__":
    main()
