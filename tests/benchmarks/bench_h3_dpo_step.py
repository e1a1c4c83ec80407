"""H3: pairs per second of Diffusion-DPO against straightforward steps, for SD1.5 and SDXL of true size.

python -m tests.benchmarks.bench_h3_dpo_step [--small] [--rounds 5]

One baseline is as the released launchers go about it: one pair at once, pictures and captions encoded in each step, for
SDXL a reference that waits on the CPU. The other is tuned: all on the GPU, in our batches, but encoding in each step.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence

import torch

from workflow_scripts.lib.cli import run as run_cli

from .common import Comparison, compare, scratch
from .dpo_steps import Steps, same_step
from .gpu import Run, flops_of, parse, tell

NAME, GOAL, GOAL_OF_TUNED = "h3_dpo_step", 5.0, 1.8
PAIRS = {"sd15": 16, "sdxl": 8}


def measure(model: str, run: Run) -> tuple[list[Comparison], dict]:
    """Both comparisons of a model; pairs and FLOPs per second of ours."""
    pairs = 4 if run.small else PAIRS[model]
    with scratch() as folder:
        steps = Steps(model, run, folder, pairs)
        ours = steps.ours()
        tflop = flops_of(ours) / 1e12
        baselines = {
            "one pair at once": (steps.straightforward(1, offload=model == "sdxl"), GOAL),
            "tuned": (steps.straightforward(steps.settings.batch_size, offload=False), GOAL_OF_TUNED),
        }
        kept = {"speedup": True, "rounds": run.rounds, "clock": "wall", "same": same_step(run)}
        comparisons = [
            compare(f"{model}: step, {name} / ours", ours, baseline, goal=run.goal(goal), **kept)
            for name, (baseline, goal) in baselines.items()
        ]
    seconds = comparisons[0].ours
    return comparisons, {"pairs": pairs, "pairs_per_second": pairs / seconds, "tflops_per_s": tflop / seconds}


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    comparisons, about = [], {}
    for model in PAIRS:
        found, about[model] = measure(model, run)
        comparisons += found
        gc.collect()
        if run.device.type == "cuda":
            torch.cuda.empty_cache()
    tell(NAME, run, f">= {GOAL} one pair at once, >= {GOAL_OF_TUNED} tuned", comparisons, **about)


if __name__ == "__main__":
    run_cli(main)
