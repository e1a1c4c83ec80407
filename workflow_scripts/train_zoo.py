"""Train one model of the tiny zoo from nothing but the tiny world; save it as a diffusers or transformers folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.zoo.plan import ZOO


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_zoo`."""
    options = parser(__doc__)
    options.add_argument("--model", required=True, choices=ZOO, help="of the plan")
    options.add_argument(
        "--zoo", type=Path, required=True, help="folder that holds (and receives) the models, one folder each"
    )
    options.add_argument("--steps", type=int, default=0, help="optimiser steps")
    options.add_argument("--batch", type=int, default=256, help="images (or comparisons) per step")
    options.add_argument("--seed", type=int, default=0, help="of weights and draws")
    options.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    args = options.parse_args(argv)

    from workflow_scripts.lib.zoo.recipes import train

    train(args.model, args.zoo, steps=args.steps, batch=args.batch, seed=args.seed, device=args.device)


if __name__ == "__main__":
    run(main)
