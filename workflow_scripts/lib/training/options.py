"""The command line of a training: one option per field of `TrainingSettings`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from .settings import TrainingSettings

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
    "ema_decay": "average the weights over steps with this decay",
    "ema_every": "optimiser steps from one update of the average to the next",
    "checkpoint_seconds": "seconds between states, more where saving would take over 2 % of the time; 0: each step",
}
TYPES = {"int": int, "float": float, "str": str, "str | None": str, "int | None": int, "float | None": float}


def add_training_options(options: argparse.ArgumentParser) -> None:
    """What SFT and DPO have in common."""
    add = options.add_argument
    add("--model", required=True, help="pipeline in config/models.yaml")
    add("--start", type=Path, help="policy file to start from (default: the model itself)")
    add("--examples", type=Path, required=True, help="file of encode_latents")
    add("--seed", type=int, default=0, help="of data order, timesteps and noise")
    add("--out", type=Path, required=True, help="policy file (policy.json); weights and history are written beside it")
    for field in fields(TrainingSettings):
        name, text = "--" + field.name.replace("_", "-"), HELP.get(field.name, "as in diffusers")
        if field.type == "bool":
            add(name, action="store_true", help=text)
        elif field.name == "learning_rate":
            add(name, type=float, required=True, help=text)
        else:
            add(name, type=TYPES[field.type], default=field.default, help=text)


def training_settings(args: argparse.Namespace) -> TrainingSettings:
    """The settings of a parsed command line."""
    return TrainingSettings(**{field.name: getattr(args, field.name) for field in fields(TrainingSettings)})
