"""Make a table of the paper from metrics files, as CSV (long form), Markdown and LaTeX; or print one that was made."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `make_table`."""
    args = _arguments(argv)
    if args.print:
        from workflow_scripts.lib.results.render import read_rows, terminal

        print(terminal(read_rows(args.print), bold=sys.stdout.isatty()))
        return

    from workflow_scripts.lib.results import render
    from workflow_scripts.lib.results.evidence import Evidence
    from workflow_scripts.lib.results.tables import long_form, notes, scaled_table
    from workflow_scripts.lib.results.writing import write_texts
    from workflow_scripts.lib.spec import load_config

    table = scaled_table(load_config(), args.table, args.scale)
    rows, about = long_form(table, Evidence(args.metrics)), (table.table.title, table.table.caption)
    texts = {
        ".csv": lambda: rows.to_csv(index=False),
        ".md": lambda: render.markdown(rows, *about, list(notes(table.table))),
        ".tex": lambda: render.latex(rows, *about),
    }
    write_texts(args.out, texts)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--table", help="name of the table in the configuration")
    options.add_argument("--scale", help="tiny, pilot, paper")
    options.add_argument(
        "--metrics", type=Path, nargs="+", help="metrics files of all rows, in one or several replicates"
    )
    options.add_argument("--out", type=Path, nargs="+", help="files to write; .csv, .md and .tex decide what")
    options.add_argument("--print", type=Path, metavar="CSV", help="print this table instead of making one")
    args = options.parse_args(argv)
    missing = [name for name in ("table", "scale", "metrics", "out") if getattr(args, name) is None]
    if missing and not args.print:
        options.error(f"to make a table, give --{', --'.join(missing)}")
    return args


if __name__ == "__main__":
    run(main)
