"""Make a sheet of images: a row per prompt, a column per policy and selection, blocks of columns below each other."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import grouped, parser, run

COLUMN = ("BLOCK", "SHOW", "TITLE", "SELECTION", "REWARDS", "PART")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `make_sheet`."""
    args = _arguments(argv)

    from workflow_scripts.lib.results.plotting import save
    from workflow_scripts.lib.results.sheets import animate_sheet, draw_sheet

    blocks = grouped((block, _read(*column)) for block, *column in args.column)
    if args.fps:
        animate_sheet(blocks, args.out[0], args.fps, args.cell, args.blur)
    else:
        save(draw_sheet(blocks, args.cell, args.blur), args.out)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    help_column = (
        "one column, given once per column: its block, how many prompts to spread evenly over the collection, title, "
        "selection, rewards by which it selects (- for none), and the parts (part{n}.json)"
    )
    options.add_argument(
        "--column", nargs="+", action="append", required=True, metavar=" ".join(COLUMN), help=help_column
    )
    options.add_argument("--cell", type=int, default=256, help="pixels of an image in the sheet")
    options.add_argument(
        "--blur", type=float, default=0, help="radius in pixels by which images are blurred (unsafe prompts)"
    )
    options.add_argument("--fps", type=float, help="write a .gif in which clips run at this rate, instead of a picture")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)
    if wrong := [" ".join(column) for column in args.column if len(column) < len(COLUMN) or not column[1].isdigit()]:
        options.error(f"--column {wrong[0]}: give {' '.join(COLUMN)} [PART …]")
    return args


def _read(show: str, title: str, selection: str, rewards: str, *parts: str):
    from workflow_scripts.lib.metrics.inputs import read_table_parts
    from workflow_scripts.lib.results.sheets import read_column

    ranking = None if rewards == "-" else read_table_parts([rewards])
    return read_column(title, selection, [Path(part) for part in parts], ranking, int(show))


if __name__ == "__main__":
    run(main)
