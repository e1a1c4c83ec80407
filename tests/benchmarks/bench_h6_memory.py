"""H6: peak memory of Diffusion-DPO that trains all of SDXL, nothing offloaded; it is not to grow with a step's pairs.

python -m tests.benchmarks.bench_h6_memory [--small]

The paper's settings (AdamW in float32, bfloat16 arithmetic, gradient checkpointing, 8 pairs at once) on random latents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from workflow_scripts.lib.cli import run as run_cli
from workflow_scripts.lib.training.denoiser import Denoiser
from workflow_scripts.lib.training.examples import Examples
from workflow_scripts.lib.training.loop import Training
from workflow_scripts.lib.training.noise import draw_step, noise_schedule
from workflow_scripts.lib.training.objectives import DPO, DenoisingErrors
from workflow_scripts.lib.training.settings import TrainingSettings
from workflow_scripts.lib.training.updates import Updates, accelerator_of

from .common import compare_numbers
from .dpo_steps import settings_of
from .gpu import Run, finished, parse, tell
from .sd_sizes import pixels_of, random_pipeline

NAME, GOAL_GIB, GROWTH = "h6_memory", 70, 1.05


def random_examples(pipeline, latent_side: int, count: int) -> Examples:
    """Pairs of random latents and embeddings."""
    size, side = pipeline.unet.config, latent_side * pipeline.vae_scale_factor
    pooled = pipeline.text_encoder_2.config.projection_dim
    best, worst = torch.randn(2, count, size.in_channels, latent_side, latent_side).unbind()
    embeddings = {
        "prompt_embeds": torch.randn(count + 1, 77, size.cross_attention_dim),
        "pooled_prompt_embeds": torch.randn(count + 1, pooled),
        "time_ids": torch.tensor([[side, side, 0.0, 0.0, side, side]]).repeat(count + 1, 1),
    }
    return Examples(best, worst, 1 + torch.arange(count), embeddings)


def peaks_of(run: Run, settings: TrainingSettings, accumulations: Sequence[int]) -> list[int]:
    """Largest memory in bytes of steps with so many batches, all in one training; 0 each on a CPU."""
    accelerator = accelerator_of(settings)
    pipeline = random_pipeline("sdxl", run.size, run.device, torch.float32)
    side = pixels_of("sdxl", run.size) // pipeline.vae_scale_factor
    examples = random_examples(pipeline, side, settings.batch_size * max(accumulations))
    schedule, denoiser = noise_schedule(pipeline.scheduler), Denoiser(pipeline.unet, settings, needs_reference=True)
    del pipeline
    denoiser.prepare(accelerator)
    errors = DenoisingErrors(denoiser, examples, schedule, accelerator.device)
    updates, peaks = Updates(denoiser, settings, 1), []
    for batches in accumulations:
        pairs = batches * settings.batch_size
        draw = draw_step(0, pairs, len(examples), examples.best.shape[1:], schedule, 0.2, 0)
        training = Training(
            denoiser, settings, 1, lambda step, draw=draw: draw, partial(DPO(5000.0).means, errors),
            accelerator, Path("unused"), "unused",
        )  # fmt: skip
        row = finished(lambda training=training: training._step(0, updates))()
        assert math.isfinite(row["loss"]) and training._fitting.size == settings.batch_size
        peaks.append(torch.cuda.max_memory_allocated() if run.device.type == "cuda" else 0)
    return peaks


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    pairs = 4 if run.small else 8
    settings = replace(settings_of("sdxl", run, pairs), optimizer="adamw", learning_rate=1.6e-7)
    torch.manual_seed(0)
    _, first, more = peaks_of(run, settings, (1, 1, 4))  # the very first begins without the optimiser's moments
    comparisons = []
    if not run.small:
        gib = [peak / 2**30 for peak in (first, more)]
        comparisons = [
            compare_numbers("SDXL, full DPO: peak / 70 GiB", max(gib), GOAL_GIB, "GiB", goal=1.0),
            compare_numbers("peak with four times the pairs of a step", gib[1], gib[0], "GiB", goal=GROWTH),
        ]
    tell(NAME, run, f"<= {GOAL_GIB} GiB", comparisons, pairs_at_once=pairs)


if __name__ == "__main__":
    run_cli(main)
