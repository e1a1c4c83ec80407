"""H1: sampling's share of the bfloat16 matrix rate of the same GPU, for SD1.5, SDXL and SD3.5 Medium.

python -m tests.benchmarks.bench_h1_matrix_rate [--small] [--rounds 5] [--compile]

Rounds interleave sampling (text encoders, denoiser with guidance, VAE) with products of large matrices that have as
many floating-point operations, so the ratio of their times is the share. Images are those of the pipeline's own call.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from workflow_scripts.lib.cli import run as run_cli
from workflow_scripts.lib.diffusion.acceleration import compile_blocks
from workflow_scripts.lib.diffusion.pipelines import denoiser_of
from workflow_scripts.lib.diffusion.sampling import Request, SamplingSettings, sample

from .common import Comparison, compare
from .gpu import Run, finished, flops_of, matrix_products, parse, same_images, tell
from .sd_sizes import pixels_of, random_pipeline

NAME = "h1_matrix_rate"


class Case(NamedTuple):
    """How a model is sampled, in batches that an H100 holds; fewer steps than the paper's change no rate."""

    steps: int
    batch: int
    guidance: float
    goal: float


CASES = {"sd15": Case(50, 32, 7.5, 0.40), "sdxl": Case(20, 8, 5.0, 0.60), "sd3": Case(20, 16, 4.5, 0.65)}


def settings_of(model: str, run: Run, steps: int) -> SamplingSettings:
    """Those of a case; three steps where only the code is exercised."""
    side = pixels_of(model, run.size)
    return SamplingSettings(3 if run.small else steps, CASES[model].guidance, side, side)


def requests_of(count: int) -> list[Request]:
    """Images of as many prompts."""
    return [Request(i, f"{i} frogs on blue", 0, i) for i in range(count)]


def by_its_own_call(pipeline, requests: list[Request], settings: SamplingSettings, batch: int) -> torch.Tensor:
    """Images (N, H, W, 3) uint8 on the CPU, as the pipeline's documentation makes them, so many at a time."""
    images, of_texts = [], getattr(pipeline.encode_prompt, "keywords", {})  # SD3's number of T5's tokens
    arguments = settings.call_arguments() | of_texts
    for start in range(0, len(requests), batch):
        chosen = requests[start : start + batch]
        generator = [torch.Generator("cpu").manual_seed(request.seed) for request in chosen]
        prompts = [request.prompt for request in chosen]
        made = pipeline(prompt=prompts, generator=generator, output_type="np", **arguments).images
        images.append(torch.from_numpy((made * 255).round().astype("uint8")))
    return torch.cat(images)


def measure(model: str, run: Run) -> tuple[Comparison, dict]:
    """The share of one model, and FLOPs and seconds of the warm-up."""
    case = CASES[model]
    requests, settings = requests_of(2 if run.small else case.batch), settings_of(model, run, case.steps)
    pipeline = random_pipeline(model, run.size, run.device, run.dtype)
    expected = by_its_own_call(pipeline, requests, settings, 4)
    ours = finished(lambda: sample(pipeline, requests, settings)[0].cpu())
    flops = flops_of(ours)
    if run.compile:
        compile_blocks(denoiser_of(pipeline))
    start = time.perf_counter()
    ours()
    about = {"tflop": flops / 1e12, "images": len(requests), "warm_up_s": time.perf_counter() - start}
    same = same_images(run)
    comparison = compare(
        f"{model}: matrix products of as many FLOPs / sampling",
        ours,
        matrix_products(flops, run),
        same=lambda found, _: same(found, expected),
        goal=run.goal(case.goal),
        speedup=True,
        rounds=run.rounds,
        clock="wall",
    )
    return comparison, about | {"tflops_per_s": flops / 1e12 / comparison.ours}


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    comparisons, about = [], {}
    for model in CASES:
        comparison, about[model] = measure(model, run)
        comparisons.append(comparison)
        gc.collect()
        if run.device.type == "cuda":
            torch.cuda.empty_cache()
    goals = ", ".join(f"{model} >= {case.goal}" for model, case in CASES.items())
    tell(NAME, run, goals, comparisons, compiled=run.compile, **about)


if __name__ == "__main__":
    run_cli(main)
