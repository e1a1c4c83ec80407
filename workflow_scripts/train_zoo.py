"""Train one model of the tiny zoo from nothing but the tiny world; save it as a diffusers or transformers folder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import run

MODELS = (
    "tokenizer",
    "vae",
    "sd15",
    "sdxl",
    "sd3",
    "clip",
    "pickscore",
    "hps",
    "imagereward",
    "extractor",
    "text_to_video",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_zoo`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, choices=MODELS)
    parser.add_argument(
        "--zoo", type=Path, required=True, help="folder that holds (and receives) the models, one folder each"
    )
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=256, help="images (or comparisons) per step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)

    from workflow_scripts.lib.zoo.recipes import train

    train(
        args.model,
        args.zoo,
        steps=args.steps,
        batch=args.batch,
        seed=args.seed,
        device=args.device,
    )


if __name__ == "__main__":
    run(main)
