"""Summarise over replicates whether the claims of a table come out in the paper's direction."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `summarize_directions`."""
    options = parser(__doc__)
    options.add_argument("--table", required=True, help="name of the table in the configuration")
    options.add_argument("--scale", required=True, help="tiny, pilot, paper")
    options.add_argument(
        "--metrics", type=Path, nargs="+", required=True, help="metrics files of all rows in three or more replicates"
    )
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write; .csv and .md decide what")
    args = options.parse_args(argv)

    from workflow_scripts.lib.results.directions import claims, markdown
    from workflow_scripts.lib.results.evidence import Evidence
    from workflow_scripts.lib.results.tables import scaled_table
    from workflow_scripts.lib.results.writing import write_texts
    from workflow_scripts.lib.spec import load_config

    table = scaled_table(load_config(), args.table, args.scale)
    rows = claims(table, Evidence(args.metrics))
    write_texts(args.out, {".csv": lambda: rows.to_csv(index=False), ".md": lambda: markdown(rows, table.table.title)})


if __name__ == "__main__":
    run(main)
