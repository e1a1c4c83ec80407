"""Write the assumption ledger of a scale: every number with its provenance; or print it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run

COLUMNS = ("of", "key", "value", "kind", "reason", "where", "replaces")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `write_ledger`."""
    options = parser(__doc__)
    options.add_argument("--scale", required=True, help="tiny, pilot, paper")
    options.add_argument("--out", type=Path, nargs="*", default=[], help="files to write, .csv or .md; none: print")
    args = options.parse_args(argv)

    from dataclasses import astuple

    import pandas as pd

    from workflow_scripts.lib.results.writing import markdown_table, write_texts
    from workflow_scripts.lib.spec import load_config

    rows = [astuple(row) for row in load_config().ledger(args.scale)]
    table = pd.DataFrame(rows, columns=COLUMNS)

    def markdown() -> str:
        counted = ", ".join(f"{count} {kind}" for kind, count in table["kind"].value_counts().items())
        head = [f"# Every number of the {args.scale} scale", "", f"{len(table)} values: {counted}.", ""]
        return "\n".join([*head, *markdown_table(COLUMNS, ([str(cell) for cell in row] for row in rows)), ""])

    if not args.out:
        print(markdown())
    write_texts(args.out, {".csv": lambda: table.to_csv(index=False), ".md": markdown})


if __name__ == "__main__":
    run(main)
