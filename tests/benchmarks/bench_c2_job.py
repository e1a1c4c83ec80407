"""C2: what one short job costs through snakemake, over a rule that only touches its output.

`select_samples` is a step without torch, but not without pandas. Its cost is given as it is started by a rule, and
split: the bare interpreter, the imports, the work. CPU time of snakemake is in all of them; its start is subtracted.
"""

from __future__ import annotations

import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from tests.workflow.study import REPOSITORY, SNAKEMAKE, environment

from .common import compare_numbers, cpu_seconds, report, scratch

JOBS, ROUNDS, GOAL = 20, 5, 2
PROMPTS, SAMPLES = 128, 10
SNAKEFILE = """
rule all:
    input: expand("{{i}}.done", i=range({count}))
rule job:
    output: "{{i}}.done"
    shell: {command!r}
"""
INTERPRETER, IMPORTS = (
    f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} && touch {{output}}"
    for code in ("", "import pandas, pyarrow.parquet")
)
JOB = (
    f"{shlex.quote(sys.executable)} -m workflow_scripts.select_samples --rewards rewards.parquet "
    f"--prompts prompts.parquet --candidates {SAMPLES} --out {{output}}.parquet && touch {{output}}"
)


def write_inputs(folder: Path) -> None:
    """Rewards and prompts as large as those of the tiny scale."""
    import numpy as np
    import pandas as pd

    from workflow_scripts.lib.shards import key_of

    ids, ks = (column.ravel() for column in np.mgrid[:PROMPTS, :SAMPLES])
    values = np.random.default_rng(0).standard_normal(len(ids))
    keys = [key_of(i, k) for i, k in zip(ids, ks, strict=True)]
    rewards = pd.DataFrame({"key": keys, "prompt_id": ids, "k": ks, "reward": values, "logit": values})
    rewards.to_parquet(folder / "rewards.parquet", index=False)
    prompts = pd.DataFrame({"prompt_id": range(PROMPTS), "prompt": [f"prompt {i}" for i in range(PROMPTS)]})
    prompts.to_parquet(folder / "prompts.parquet", index=False)


def seconds_of(folder: Path, command: str, count: int) -> float:
    """CPU-seconds of a snakemake run of `count` jobs."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(count=count, command=command))
    for done in folder.glob("*.done*"):
        done.unlink()
    variables = environment(warm=False) | {"PYTHONPATH": str(REPOSITORY)}
    start = cpu_seconds()
    subprocess.run(
        [*SNAKEMAKE, "--cores", "1", "--quiet", "all"], cwd=folder, env=variables, check=True, stderr=subprocess.DEVNULL
    )
    seconds = cpu_seconds() - start
    assert len(list(folder.glob("*.done"))) == count
    return seconds


def main() -> None:
    commands = {"touch": "touch {output}", "interpreter": INTERPRETER, "imports": IMPORTS, "job": JOB}
    totals: dict[str, list[float]] = {name: [] for name in ("nothing", *commands)}
    with scratch() as folder:
        write_inputs(folder)
        for number in range(ROUNDS):
            names = list(commands)[:: -1 if number % 2 else 1]
            totals["nothing"].append(seconds_of(folder, "touch {output}", 1))
            for name in names:
                totals[name].append(seconds_of(folder, commands[name], JOBS))
    start = statistics.median(totals.pop("nothing"))
    cost = {name: (statistics.median(seconds) - start) / (JOBS - 1) for name, seconds in totals.items()}
    results = [
        compare_numbers("select_samples / touch", cost["job"], cost["touch"], "CPU s per job", goal=GOAL),
        compare_numbers("bare interpreter / touch", cost["interpreter"], cost["touch"], "CPU s per job"),
        compare_numbers("importing pandas / touch", cost["imports"], cost["touch"], "CPU s per job"),
        compare_numbers("select_samples / importing pandas", cost["job"], cost["imports"], "CPU s per job"),
    ]
    report("c2_job", results, jobs=JOBS, rounds=ROUNDS, snakemake_start=start)


if __name__ == "__main__":
    main()
