"""GRPO of a policy: from a registry entry, prompts and judges to a policy file with its history."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..diffusion.pipelines import denoiser_name, denoiser_of, is_saved, load_pipeline, place, save_policy
from ..files import atomic_write, read_json
from ..provenance import fingerprint
from .adversarial import DiscriminatorSchedule
from .denoiser import Denoiser
from .grpo_training import GRPOTraining, print_arithmetic
from .judges import Judges
from .rollouts import Sampler
from .settings import GRPOSettings, OptimiserSettings
from .updates import accelerator_of, from_first


def train_online(
    entry: dict,
    entries: dict[str, dict],
    start: Path | None,
    prompts: list[str],
    judges: Callable[[Any], Judges],
    settings: GRPOSettings,
    training: OptimiserSettings,
    schedule: DiscriminatorSchedule | None,
    size: tuple[int, int],
    seed: int,
    out: Path,
    code: str,
    made_of: dict[str, Any],
) -> None:
    """Train a model, or the policy file `start`, and write the policy file `out`, history.parquet beside it.

    `judges(accelerator)` makes the judges, `made_of` is what they were made of; images have `size` (height, width) in
    pixels. The weights written are the moving average, if there is one; a discriminator is kept as discriminator.pt.
    Stopped and started again it continues.
    """
    accelerator = accelerator_of(training)
    pipeline = load_pipeline(entry, entries, start, "cpu", torch.float32)
    torch.manual_seed(seed)  # adapters start at random
    denoiser = Denoiser.of(denoiser_of(pipeline), training, needs_reference=settings.kl_weight > 0)
    denoiser.prepare(accelerator)  # first: what it rounds is not to be moved
    _place(pipeline, accelerator, training)
    sampler = Sampler(pipeline, denoiser, prompts, settings, size, accelerator, seed)
    if accelerator.is_main_process:
        print_arithmetic(settings, schedule, accelerator.num_processes)
    made_by = fingerprint(
        model=entry["name"],
        start=read_json(start) if start else None,
        prompts=prompts,
        settings=asdict(settings),
        training={**asdict(training), "checkpoint_seconds": None},  # it changes no result
        schedule=schedule and asdict(schedule),
        size=size,
        seed=seed,
        code=code,
        **made_of,
    )
    if from_first(accelerator, lambda: is_saved(out, made_by)):
        return
    made = judges(accelerator)
    history = GRPOTraining(
        denoiser, sampler, made, settings, training, schedule, accelerator, out.parent / "state", made_by, seed
    ).run()
    if accelerator.is_main_process:
        _write(out, pipeline, denoiser, made, history, model=entry["name"], seed=seed, fingerprint=made_by)


def _place(pipeline, accelerator, training: OptimiserSettings) -> None:
    """Move all parts to the device; text encoders, which are frozen, to the arithmetic of the training."""
    place(pipeline, accelerator.device)
    if training.mixed_precision == "bf16":
        for name, part in pipeline.components.items():
            if name.startswith("text_encoder") and part is not None:
                part.to(torch.bfloat16)


def _write(out: Path, pipeline, denoiser: Denoiser, judges: Judges, history: list[dict], **about) -> None:
    import pandas as pd

    with atomic_write(out.parent / "history.parquet") as temporary:
        pd.DataFrame(history).to_parquet(temporary, index=False)
    if judges.discriminator is not None:
        with atomic_write(out.parent / "discriminator.pt") as temporary:
            torch.save(judges.discriminator.state_dict(), temporary)
    steps = history[-1]["global_step"] - history[-1]["discriminator_steps"]
    save_policy(out, denoiser_name(type(pipeline)), denoiser.merged(), objective="grpo", steps=steps, **about)
    shutil.rmtree(out.parent / "state", ignore_errors=True)
