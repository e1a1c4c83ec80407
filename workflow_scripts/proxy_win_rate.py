"""How often automatic scorers prefer B to A on the prompts of a user study: a stand-in, not people's votes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.lib.cli import form, grouped, parser, run

if TYPE_CHECKING:
    import pandas as pd

SCORES = "TITLE:COLUMN=PATH"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `proxy_win_rate`."""
    args = _arguments(argv)

    import pandas as pd

    from workflow_scripts.lib.results.writing import write_texts
    from workflow_scripts.lib.study.key import read_key
    from workflow_scripts.lib.study.proxy import as_rows, markdown, proxy_win_rates

    key = read_key(args.key)
    rates = proxy_win_rates(_scores(args.a), _scores(args.b), key, args.resamples, args.seed)
    texts = {
        ".csv": lambda: pd.DataFrame(as_rows(rates, key)).to_csv(index=False),
        ".md": lambda: markdown(rates, key),
    }
    write_texts(args.out, texts)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--key", type=Path, required=True, help="key that make_user_study wrote beside the page")
    for side in ("a", "b"):
        help_scores = f"score tables of policy {side.upper()}, every part; the title is shown"
        options.add_argument(f"--{side}", type=form(SCORES), nargs="+", required=True, metavar=SCORES, help=help_scores)
    options.add_argument("--resamples", type=int, required=True, help="bootstrap resamples of the prompts")
    options.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write; .csv and .md decide what")
    return options.parse_args(argv)


def _scores(given: Sequence[tuple[str, str, str]]) -> dict[str, pd.Series]:
    from workflow_scripts.lib.metrics.inputs import read_scores

    tables = grouped(((title, column), path) for title, column, path in given)
    return {title: read_scores(paths, column) for (title, column), paths in tables.items()}


if __name__ == "__main__":
    run(main)
