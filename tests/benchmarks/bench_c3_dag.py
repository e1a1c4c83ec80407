"""C3: planning the paper-scale DAG against a bare DAG of three rules and as many jobs, and its growth.

Dry runs of Tab. 1 at paper scale, CPU time, start of snakemake included on both sides. A shard holds a tenth of the
images in the second case, so that the jobs outweigh the start.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.workflow.study import SNAKEMAKE, Study, assumed, environment, jobs_of, make_study

from .common import Comparison, compare, compare_numbers, report, scratch

PAPER, TABLE = "config/scales/paper.yaml", "results/tables/ganrm_tab1.csv"
MOST_JOBS, TRAIN_PROMPTS, SMALL_SHARD = 3000, 20_000, 100
ROUNDS = 3
BARE = """
rule all:
    input: "all.done"
rule first:
    output: "{{i}}.first"
    shell: "touch {{output}}"
rule second:
    input: "{{i}}.first"
    output: "{{i}}.second"
    shell: "touch {{output}}"
rule last:
    input: expand("{{i}}.second", i=range({count}))
    output: "all.done"
    shell: "touch {{output}}"
"""


def planned(study: Study) -> Callable[[], int]:
    """Plans Tab. 1 at paper scale; returns the number of jobs."""
    return lambda: study.dry_run(TABLE)["total"]


def planned_bare(folder: Path, jobs: int) -> Callable[[], int]:
    """Plans three rules with about as many jobs."""
    folder.mkdir()
    (folder / "Snakefile").write_text(BARE.format(count=(jobs - 2) // 2))

    def plan() -> int:
        done = subprocess.run(
            [*SNAKEMAKE, "-n"], cwd=folder, env=environment(warm=False), check=True, capture_output=True, text=True
        )
        return jobs_of(done.stdout)["total"]

    return plan


def study_of(folder: Path, **counts: int) -> Study:
    """A study at paper scale with other counts."""
    study = make_study(folder, resources=False, reduced=False)
    prompts = counts.pop("prompts", TRAIN_PROMPTS)
    study.edit(PAPER, lambda scale: scale["prompts"].update(train=assumed(prompts)))
    study.edit(PAPER, lambda scale: scale["counts"].update(counts))
    return study


def against_bare(folder: Path, name: str, study: Study) -> Comparison:
    """Our plan over a bare one of as many jobs."""
    ours = planned(study)
    jobs = ours()
    return compare(
        f"{jobs} jobs of {name} / as many bare ones",
        ours,
        planned_bare(folder / f"bare{jobs}", jobs),
        same=lambda a, b: abs(a - b) <= 2,
        goal=1.3,
        rounds=ROUNDS,
    )


def main() -> None:
    with scratch() as folder:
        plain = study_of(folder / "plain")
        small = study_of(folder / "small", images_per_shard=SMALL_SHARD)
        double = study_of(folder / "double", images_per_shard=SMALL_SHARD, prompts=2 * TRAIN_PROMPTS)
        results = [
            compare_numbers("jobs of Tab. 1 at paper scale", planned(plain)(), MOST_JOBS, "jobs", goal=1.0),
            against_bare(folder, "Tab. 1", plain),
            against_bare(folder, "Tab. 1 in small shards", small),
            compare(
                "twice the prompts, T(2n) / T(n)",
                planned(double),
                planned(small),
                same=lambda twice, once: 1.8 < twice / once < 2.1,
                goal=2.1,
                rounds=ROUNDS,
            ),
        ]
    report("c3_dag", results)


if __name__ == "__main__":
    main()
