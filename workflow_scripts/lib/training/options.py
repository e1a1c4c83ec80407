"""What the command lines of trainings have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..options import add_options_of
from .settings import TrainingSettings


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
