"""Score the images of one part under their prompts: one row per image, one column per metric of the scorer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import add_hardware, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `score_images`."""
    args = _parser().parse_args(argv)

    from workflow_scripts.lib.rewards.encoders import encode_part
    from workflow_scripts.lib.rewards.scorers import load_scorer
    from workflow_scripts.lib.shards import Collection, Part
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.tables import image_table, write_table

    part = Part(args.images)
    scorer = load_scorer(load_config().model_entry(args.scorer), args.device, args.dtype)
    if args.references:
        scorer.compare_with(Collection(args.references))
    write_table(args.out, image_table(part.index(), encode_part(scorer, part, args.batch_size)))


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--scorer", required=True, help="name in config/models.yaml")
    options.add_argument("--images", type=Path, required=True, help="part file of the collection")
    options.add_argument("--references", type=Path, nargs="+", help="parts of the images that the scorer compares with")
    options.add_argument("--batch-size", type=int, default=32, help="images scored at once; changes no result")
    add_hardware(options)
    options.add_argument("--out", type=Path, required=True, help="scores file (.parquet)")
    return options


if __name__ == "__main__":
    run(main, warm=True)
