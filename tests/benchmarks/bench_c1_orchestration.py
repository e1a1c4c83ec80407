"""C1: the share of a tiny run that is not the work itself.

One side is `snakemake ganrm_tab1 ganrm_fig2` on one core, as a user runs it. The other calls the `main` of the same
command lines, in the same order, in one process that has everything imported. Counts are reduced as in tests/workflow
unless `--full` is given, which makes the tiny scale as it is: jobs of a second each are the worst case for the share.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import re
import shlex
import time
from pathlib import Path

from tests.workflow.study import TARGETS, Study, make_study

from .common import compare_numbers, report, scratch

GOAL, TABLE = 0.10, "results/tiny/tables/ganrm_tab1.csv"
Commands = list[tuple[str, list[str]]]


def snakemake_run(folder: Path, *, reduced: bool) -> tuple[Study, float, Commands]:
    """A run of the targets in a fresh study: the study, its seconds and the command lines that it printed."""
    study = make_study(folder, reduced=reduced)
    start = time.perf_counter()
    done = study.snakemake("--cores", "1", "--printshellcmds", *TARGETS, warm=False)
    seconds = time.perf_counter() - start
    printed = re.findall(
        r"^Shell command: python -m workflow_scripts\.(\w+) (.+) > \S+ 2>&1$", done.stdout, re.MULTILINE
    )
    return study, seconds, [(verb, shlex.split(words)) for verb, words in printed]


def kernels_run(folder: Path, commands: Commands, *, reduced: bool) -> tuple[Study, float]:
    """The same command lines in this process, in a fresh study; one torch thread, as snakemake gives each job."""
    import torch

    torch.set_num_threads(1)
    study = make_study(folder, reduced=reduced)
    with (
        contextlib.chdir(study.root),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        start = time.perf_counter()
        for verb, words in commands:
            importlib.import_module(f"workflow_scripts.{verb}").main(words)
        return study, time.perf_counter() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="the tiny scale as it is")
    reduced = not options.parse_args().full
    with scratch() as folder:
        first, _, commands = snakemake_run(folder / "warm-up", reduced=reduced)
        _, cold = kernels_run(folder / "kernels-cold", commands, reduced=reduced)  # imports everything
        whole, kernels, expected = [], [], (first.root / TABLE).read_bytes()
        for number, side in enumerate("ABBA" if reduced else "AB"):
            if side == "A":
                study, seconds, _ = snakemake_run(folder / str(number), reduced=reduced)
                whole.append(seconds)
            else:
                study, seconds = kernels_run(folder / str(number), commands, reduced=reduced)
                kernels.append(seconds)
            assert (study.root / TABLE).read_bytes() == expected, "the two sides made different things"
    walls, works = sum(whole) / len(whole), sum(kernels) / len(kernels)
    share = compare_numbers("share of orchestration", walls - works, walls, "wall s", goal=GOAL)
    about = {"jobs": len(commands), "wall_seconds": whole, "kernel_seconds": kernels, "cold_kernel_seconds": cold}
    report("c1_orchestration", [share], counts="reduced" if reduced else "tiny", **about)


if __name__ == "__main__":
    main()
