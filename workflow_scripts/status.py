"""What is done, running, waiting and failed of a target (or of everything), why, and how long the rest takes.

It only looks: beside a running head, after one was killed, in a folder that cannot be written. Exit status 0: all is
done, 1: a job failed, 3: something is still to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run

SNAKEMAKE = Path(".snakemake")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `status`."""
    options = parser(__doc__)
    options.add_argument("targets", nargs="*", default=[], help="as for snakemake; none: everything at the scale")
    options.add_argument(
        "--scale", default=None, help="tiny, pilot, paper (default: that of the profile or configuration)"
    )
    options.add_argument("--profile", default=None, help="the profile of the run, as for snakemake")
    args = options.parse_args(argv)

    from workflow_scripts.lib.jobs import planned_jobs
    from workflow_scripts.lib.monitor.benchmarks import folders_of, read_benchmarks
    from workflow_scripts.lib.monitor.snakemake_folder import about_heads
    from workflow_scripts.lib.monitor.states import look
    from workflow_scripts.lib.monitor.summary import coloured, exit_status, plain, report

    words = [*args.targets, *(["--profile", args.profile] if args.profile else [])]
    planned = planned_jobs([*words, *(["--config", f"scale={args.scale}"] if args.scale else [])])
    jobs = [job for job in planned if job.output]  # targets make nothing themselves
    seen = look(jobs, SNAKEMAKE)
    paint = coloured if sys.stdout.isatty() else plain
    print(report(seen, read_benchmarks(folders_of(jobs)), about_heads(SNAKEMAKE), paint))
    sys.exit(exit_status(seen))


if __name__ == "__main__":
    run(main)
