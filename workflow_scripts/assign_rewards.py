"""Rewards of images without a head: the scores of a scorer, or random numbers; the same columns as score_rewards'."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `assign_rewards`."""
    options = parser(__doc__)
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--scores", type=Path, nargs="+", help="files of score_images, whose --column is the reward")
    source.add_argument("--random", type=Path, nargs="+", metavar="PART", help="part files to draw random rewards for")
    options.add_argument("--column", help="column of --scores")
    options.add_argument("--out", type=Path, required=True, help="rewards file (.parquet)")
    args = options.parse_args(argv)

    import pandas as pd

    from workflow_scripts.lib.rewards.assigned import random_rewards, rewards_from_scores
    from workflow_scripts.lib.shards import Part
    from workflow_scripts.lib.tables import read_table, write_table

    if args.random:
        tables = [random_rewards(Part(path).index()) for path in args.random]
    else:
        tables = [rewards_from_scores(read_table(path), args.column) for path in args.scores]
    write_table(args.out, pd.concat(tables, ignore_index=True))


if __name__ == "__main__":
    run(main)
