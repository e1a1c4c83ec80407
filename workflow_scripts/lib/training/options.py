"""The command line of a training: one option per field of `TrainingSettings`."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TypeVar

from .settings import TrainingSettings

Settings = TypeVar("Settings")
HELP = {
    "learning_rate": "after the warm-up",
    "batch_size": "examples at once on a device",
    "gradient_accumulation_steps": "batches of an optimiser step, all devices together",
    "epochs": "passes over the examples, unless max_steps is given",
    "max_steps": "optimiser steps",
    "lr_scheduler": "constant_with_warmup or cosine",
    "optimizer": "adamw or adafactor",
    "scope": "full: every weight of the denoiser; lora: adapters on its attention",
    "lora_alpha": "an adapter counts lora_alpha / lora_rank times (default: once)",
    "lora_targets": "attn: SD3's joint attention; attn_and_attn2: also its second one (default: each to_q, to_k, to_v)",
    "mixed_precision": "no or bf16",
    "ema_decay": "average the weights over steps with this decay, less at first",
    "ema_every": "optimiser steps from one update of the average to the next",
    "group_size": "images of one prompt, whose rewards are compared",
    "sampling_steps": "denoising steps of a rollout",
    "guidance_scale": "classifier-free guidance in rollouts and updates; 1 is none",
    "sampler": "stochastic steps: cps or sde",
    "noise_level": "noise of the stochastic steps",
    "window_start": "first stochastic step, from 0, or random",
    "window_width": "stochastic steps",
    "generator_epochs": "epochs that update the generator",
    "groups_per_epoch": "prompts of a rollout",
    "updates_per_epoch": "optimiser steps on one rollout",
    "micro_batch_size": "images at once on a device, in rollout and update",
    "clip_range": "half-width of the interval around 1 of likelihood ratios",
    "advantage_clip": "largest size of an advantage",
    "advantage_std": "group or global: what advantages are divided by",
    "kl_weight": "weight of the divergence from where training starts",
    "kl_form": "as_coded or closed_form",
    "schedule": "ratio: a fixed number of steps; trigger: whenever generated images have the higher reward",
    "steps_per_generator_epoch": "discriminator steps before each generator epoch, with the schedule ratio",
    "replay": "0: a rollout for each of these steps; n: they reuse the last n rollouts",
    "checkpoint_seconds": "seconds between states, more where saving takes long; 0: each step",
}
TYPES = {
    "int": int,
    "float": float,
    "str": str,
    "str | None": str,
    "int | None": int,
    "float | None": float,
    "int | str": lambda text: int(text) if text.isdigit() else text,
}
CHOICES = {
    "sampler": ("cps", "sde"),
    "advantage_std": ("group", "global"),
    "kl_form": ("as_coded", "closed_form"),
    "lora_targets": ("attn", "attn_and_attn2"),
    "schedule": ("ratio", "trigger"),
}


def add_training_options(options: argparse.ArgumentParser) -> None:
    """What SFT and DPO have in common."""
    add_policy_options(options)
    options.add_argument("--examples", type=Path, required=True, help="file of encode_latents")
    add_options_of(options, TrainingSettings)


def add_policy_options(options: argparse.ArgumentParser) -> None:
    """What is trained, from which seed, and where it goes."""
    add = options.add_argument
    add("--model", required=True, help="pipeline in config/models.yaml")
    add("--start", type=Path, help="policy file to start from (default: the model itself)")
    add("--seed", type=int, default=0, help="of data order, timesteps and noise")
    add("--out", type=Path, required=True, help="policy file (policy.json); weights and history are written beside it")


def add_options_of(
    options: argparse.ArgumentParser,
    settings: type,
    prefix: str = "",
    without: Collection[str] = (),
    optional: bool = False,
) -> None:
    """An option for each field of a dataclass of settings; fields without a default are required, unless `optional`."""
    for field in fields(settings):
        if field.name in without:
            continue
        otherwise = "of its recipe; see docs/configuration.md" if prefix else "as in diffusers"
        name, text = f"--{prefix}{field.name}".replace("_", "-"), HELP.get(field.name, otherwise)
        if field.type == "bool":
            options.add_argument(name, action="store_true", help=text)
            continue
        default = {"required": not optional} if field.default is MISSING else {"default": field.default}
        kind, choices = TYPES[field.type], CHOICES.get(field.name)
        options.add_argument(name, type=kind, choices=choices, help=text, **default)


def training_settings(args: argparse.Namespace, **fixed) -> TrainingSettings:
    """The settings of a parsed command line; `fixed` ones are no options of it."""
    return settings_of(args, TrainingSettings, **fixed)


def settings_of(args: argparse.Namespace, settings: type[Settings], prefix: str = "", **fixed) -> Settings:
    """A dataclass of settings from the options of `add_options_of`."""
    given = {field.name: getattr(args, prefix + field.name) for field in fields(settings) if field.name not in fixed}
    return settings(**given, **fixed)
