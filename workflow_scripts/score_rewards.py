"""Score cached features with a trained reward head: key, prompt_id, k, reward, and the logit to rank by."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `score_rewards`."""
    args = _parser().parse_args(argv)

    import pandas as pd

    from workflow_scripts.lib.errors import UserError
    from workflow_scripts.lib.features import read_features
    from workflow_scripts.lib.rewards.features import common_encoder
    from workflow_scripts.lib.rewards.reward_heads import load_reward_model
    from workflow_scripts.lib.rewards.scoring import score_features
    from workflow_scripts.lib.shards import Part
    from workflow_scripts.lib.tables import image_table, write_table

    if len(args.features) != len(args.images):
        raise UserError(
            f"{len(args.features)} --features files for {len(args.images)} --images parts: give them in pairs"
        )
    model = load_reward_model(args.head)
    tables = []
    for path, images in zip(args.features, args.images, strict=True):
        features, about = read_features(path, images, "pt")
        common_encoder({str(args.head): {"encoder": model.encoder}, str(path): about})
        tables.append(image_table(Part(images).index(), score_features(model, features)))
    write_table(args.out, pd.concat(tables, ignore_index=True))


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--head", type=Path, required=True, help="reward model (.safetensors)")
    options.add_argument("--features", type=Path, nargs="+", required=True, help="features files")
    options.add_argument("--images", type=Path, nargs="+", required=True, help="their part files, in the same order")
    options.add_argument("--out", type=Path, required=True, help="rewards file (.parquet)")
    return options


if __name__ == "__main__":
    run(main, warm=True)
