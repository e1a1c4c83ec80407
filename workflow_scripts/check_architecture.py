"""Build GAN-RM's network and write its layers as a table; fail where they are not the paper's (Tab. 6)."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `check_architecture`."""
    options = parser(__doc__)
    options.add_argument("--table", required=True, help="name of the table in the configuration")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write: .csv, .md, .tex")
    args = options.parse_args(argv)

    import pandas as pd

    from workflow_scripts.lib.results import render
    from workflow_scripts.lib.results.writing import write_texts
    from workflow_scripts.lib.rewards.architecture import checked
    from workflow_scripts.lib.spec import load_config

    table = load_config().architectures[args.table].data
    rows = pd.DataFrame(checked(table["layers"]))
    about = (table["title"], table["caption"])
    texts = {
        ".csv": lambda: rows.to_csv(index=False),
        ".md": lambda: render.plain_markdown(rows, *about),
        ".tex": lambda: render.plain_latex(rows, args.table, *about),
    }
    write_texts(args.out, texts)


if __name__ == "__main__":
    run(main, warm=True)
