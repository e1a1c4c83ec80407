"""Make a sheet of images: a row per prompt, a column per policy and selection."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `make_sheet`."""
    args = _arguments(argv)

    from workflow_scripts.lib.metrics.inputs import read_table
    from workflow_scripts.lib.results.figures import save
    from workflow_scripts.lib.results.sheets import draw_sheet, read_column

    rewards = {title: read_table([path], "score_rewards") for title, path in args.rewards}
    prompt_ids = args.prompt_ids or _spread(args)
    columns = [
        read_column(title, selection, [Path(part) for part in parts], rewards.get(title), prompt_ids)
        for title, selection, *parts in args.column
    ]
    save(draw_sheet(columns, args.cell, args.blur), args.out)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    help_column = "title, selection and parts (part{n}.json) of one column; once per column"
    options.add_argument(
        "--column", nargs="+", action="append", required=True, metavar="TITLE SELECTION PART", help=help_column
    )
    help_rewards = "rewards by which a column selects"
    options.add_argument("--rewards", nargs="+", type=_titled, default=[], metavar="TITLE=PATH", help=help_rewards)
    options.add_argument("--prompt-ids", nargs="+", type=int, help="prompts to show, in this order of rows ascending")
    options.add_argument("--prompts", type=int, default=6, help="how many prompts to spread evenly over the collection")
    options.add_argument("--cell", type=int, default=256, help="pixels of an image in the sheet")
    options.add_argument(
        "--blur", type=float, default=0, help="radius in pixels by which images are blurred (unsafe prompts)"
    )
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)
    if short := [" ".join(column) for column in args.column if len(column) < 3]:
        options.error(f"--column {short[0]}: give title, selection and at least one part")
    return args


def _titled(argument: str) -> tuple[str, str]:
    title, equals, path = argument.rpartition("=")
    if not (title and equals and path):
        raise argparse.ArgumentTypeError(f"'{argument}' is not of the form TITLE=PATH")
    return title, path


def _spread(args: argparse.Namespace) -> list[int]:
    from workflow_scripts.lib.results.sheets import spread
    from workflow_scripts.lib.shards import Collection

    return spread(Collection(args.column[0][2:]).index()["prompt_id"], args.prompts)


if __name__ == "__main__":
    run(main)
