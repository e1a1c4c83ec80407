"""Select the best and the worst of the first K samples of every prompt."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `select_samples`."""
    args = _parser().parse_args(argv)

    from workflow_scripts.lib.rewards.selection import best_worst_pairs
    from workflow_scripts.lib.tables import read_table, write_table

    rewards, prompts = read_table(args.rewards), read_table(args.prompts)
    write_table(args.out, best_worst_pairs(rewards, prompts, args.candidates, args.pairs))


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--rewards", type=Path, required=True, help="file of score_rewards")
    options.add_argument("--prompts", type=Path, required=True, help="prompt set (.parquet)")
    options.add_argument("--candidates", type=int, required=True, help="K: samples per prompt to choose from")
    options.add_argument("--pairs", type=int, default=1, help="rows per prompt: i-th best against i-th worst")
    options.add_argument("--out", type=Path, required=True, help="selection file (.parquet)")
    return options


if __name__ == "__main__":
    run(main)
