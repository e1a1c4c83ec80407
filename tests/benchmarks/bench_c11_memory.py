"""C11: peak memory of sampling ten times the images, in as many more shards, over that of sampling them once.

The command line `sample_images` in a process of its own; its peak is that of the whole process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.workflow.study import REPOSITORY, environment
from workflow_scripts.lib.files import sha256
from workflow_scripts.lib.spec import load_config

from .common import compare_numbers, report, scratch

PROMPTS, SAMPLES, TIMES, GOAL = 32, 10, 10, 1.05
SHARDS, BATCH = 4, 32  # of the smaller run: several, because the peak of one is a matter of luck
STEPS = 2  # memory does not depend on their number


def peak_mib(folder: Path, prompts: int) -> float:
    """MiB of resident memory at most, of a process that samples `prompts` times `SAMPLES` images."""
    sampling = dict(load_config().model("sd15", "tiny")["sampling"]) | {"num_inference_steps": STEPS}
    options = {
        "prompts": folder / "prompts.parquet",
        "model": "tiny_sd15",
        "num-prompts": prompts,
        "samples-per-prompt": SAMPLES,
        "stream": "train.r0",
        **{name.replace("_", "-"): value for name, value in sampling.items()},
        "batch-size": BATCH,
        "images-per-shard": PROMPTS * SAMPLES // SHARDS,
        "out": folder / f"of{prompts}" / "part0.json",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "workflow_scripts.sample_images", *words],
        cwd=REPOSITORY,
        env=environment(warm=False),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"sample_images ended with status {os.waitstatus_to_exitcode(status)}"
    return usage.ru_maxrss / 1024


def main() -> None:
    from workflow_scripts.lib.data.prompts import draw_prompts

    with scratch() as place:
        folder = place.resolve()
        prompts = draw_prompts(load_config().data_entry("world_prompts"), "train", TIMES * PROMPTS, 0, folder)
        prompts.to_parquet(folder / "prompts.parquet", index=False)
        once, more = peak_mib(folder, PROMPTS), peak_mib(folder, TIMES * PROMPTS)
        shards = [sha256(folder / f"of{count}" / "part0-shard00000.tar") for count in (PROMPTS, TIMES * PROMPTS)]
        assert shards[0] == shards[1], "the first shard depends on how many follow it"
        assert len(list((folder / f"of{TIMES * PROMPTS}").glob("*.tar"))) == TIMES * SHARDS
    result = compare_numbers(f"peak at {TIMES} times the images", more, once, "MiB", goal=GOAL)
    report("c11_memory", [result], images=PROMPTS * SAMPLES, shards=SHARDS)


if __name__ == "__main__":
    main()
