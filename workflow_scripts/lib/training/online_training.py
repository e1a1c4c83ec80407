"""GRPO of a policy: from a registry entry, prompts and judges to a policy file with its history."""

from __future__ import annotations

from dataclasses import asdict

import torch

from ..diffusion.pipelines import place
from ..files import atomic_write
from ..tables import write_table
from .discriminator_schedule import DiscriminatorSchedule
from .grpo_training import GRPOTraining, print_arithmetic
from .judges import Judges, JudgesRecipe
from .policy_job import PolicyJob
from .rollouts import Sampler
from .settings import GRPOSettings, OptimiserSettings
from .updates import accelerator_of


def train_online(
    job: PolicyJob,
    prompts: list[str],
    recipe: JudgesRecipe,
    settings: GRPOSettings,
    optimiser: OptimiserSettings,
    schedule: DiscriminatorSchedule | None,
    size: tuple[int, int],
) -> None:
    """Train on images of `size` (height, width) in pixels and write the policy file, history.parquet beside it.

    The weights written are the moving average, if there is one; a discriminator is kept as discriminator.pt. Stopped
    and started again it continues.
    """
    accelerator = accelerator_of(optimiser)
    pipeline = job.pipeline()
    denoiser = job.denoiser(pipeline, optimiser, needs_reference=settings.kl_weight > 0)
    denoiser.prepare(accelerator)  # first: what it rounds is not to be moved
    place_frozen(pipeline, accelerator, optimiser)
    sampler = Sampler(pipeline, denoiser, prompts, settings, size, accelerator, job.seed)
    if accelerator.is_main_process:
        print_arithmetic(settings, schedule, accelerator.num_processes)
    made_by = job.made_by(
        optimiser,
        prompts=prompts,
        grpo=asdict(settings),
        schedule=schedule and asdict(schedule),
        size=size,
        judges=recipe.identity(),
    )
    if job.is_done(made_by, accelerator):
        return
    judges = recipe.load(prompts, accelerator, job.seed)
    history = GRPOTraining(
        denoiser, sampler, judges, settings, optimiser, schedule, accelerator, job.states, made_by, job.seed
    ).run()
    if accelerator.is_main_process:
        _write(job, judges, history)
        steps = history[-1]["global_step"] - history[-1]["discriminator_steps"]
        job.save(pipeline, denoiser, made_by, objective="grpo", steps=steps)


def place_frozen(pipeline, accelerator, optimiser: OptimiserSettings) -> None:
    """Move all parts to the device; text encoders, which are frozen, to the arithmetic of the training."""
    place(pipeline, accelerator.device)
    if optimiser.mixed_precision == "bf16":
        for name, part in pipeline.components.items():
            if name.startswith("text_encoder") and part is not None:
                part.to(torch.bfloat16)


def _write(job: PolicyJob, judges: Judges, history: list[dict]) -> None:
    import pandas as pd

    write_table(job.out.parent / "history.parquet", pd.DataFrame(history))
    if judges.discriminator is not None:
        with atomic_write(job.out.parent / "discriminator.pt") as temporary:
            torch.save(judges.discriminator.state_dict(), temporary)
