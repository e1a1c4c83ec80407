"""H2: images per second against the pipeline called image by image, and in its best batch; SD1.5 of true size.

python -m tests.benchmarks.bench_h2_sampling [--small] [--rounds 5] [--compile]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from workflow_scripts.lib.cli import run as run_cli
from workflow_scripts.lib.diffusion.acceleration import compile_blocks
from workflow_scripts.lib.diffusion.pipelines import denoiser_of
from workflow_scripts.lib.diffusion.sampling import sample

from .bench_h1_matrix_rate import by_its_own_call, requests_of, settings_of
from .common import compare
from .gpu import Run, finished, parse, same_images, tell
from .sd_sizes import random_pipeline

NAME, MODEL, STEPS, IMAGES, BATCHES = "h2_sampling", "sd15", 20, 32, (4, 8, 16, 32)
GOAL_OF_LOOP, GOAL_OF_BATCH = 2.8, 1.4


def best_batch(pipeline, requests, settings, batches: Sequence[int]) -> tuple[int, dict[int, float]]:
    """The batch of the fastest calls, and images per second of each."""
    rates = {}
    for batch in batches:
        work = finished(lambda size=batch: by_its_own_call(pipeline, requests, settings, size))
        work()
        start = time.perf_counter()
        work()
        rates[batch] = len(requests) / (time.perf_counter() - start)
    return max(rates, key=rates.get), rates


def sides(run: Run):
    """Ours and the pipeline's, on networks of their own: the pipeline's are neither laid out nor compiled for a GPU."""
    ours, theirs = (random_pipeline(MODEL, run.size, run.device, run.dtype, placed=one) for one in (True, False))
    if run.compile:
        compile_blocks(denoiser_of(ours))
    return ours, theirs


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    requests, settings = requests_of(4 if run.small else IMAGES), settings_of(MODEL, run, STEPS)
    ours, theirs = sides(run)
    batch, rates = best_batch(theirs, requests, settings, (2, 4) if run.small else BATCHES)
    draw = finished(lambda: sample(ours, requests, settings)[0].cpu())
    start = time.perf_counter()
    draw()
    about = {"warm_up_s": time.perf_counter() - start, "images_per_second_of_batches": rates}
    comparisons = [
        compare(
            f"the pipeline in batches of {size} / ours",
            draw,
            finished(lambda size=size: by_its_own_call(theirs, requests, settings, size)),
            same=same_images(run),
            goal=run.goal(goal),
            speedup=True,
            rounds=run.rounds,
            clock="wall",
        )
        for size, goal in ((1, GOAL_OF_LOOP), (batch, GOAL_OF_BATCH))
    ]
    goals = f">= {GOAL_OF_LOOP} one by one, >= {GOAL_OF_BATCH} in its best batch"
    tell(NAME, run, goals, comparisons, compiled=run.compile, images=len(requests), **about)


if __name__ == "__main__":
    run_cli(main)
