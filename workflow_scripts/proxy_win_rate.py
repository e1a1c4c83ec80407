"""How often automatic scorers prefer B to A on the prompts of a user study: a stand-in, not people's votes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_scripts.lib.cli import parser, run

if TYPE_CHECKING:
    import pandas as pd

Scores = tuple[str, str, str]
"""Title of a scorer, its column, and a score table."""


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
        options.add_argument(
            f"--{side}", type=_titled, nargs="+", required=True, metavar="TITLE:COLUMN=PATH", help=help_scores
        )
    options.add_argument("--resamples", type=int, required=True, help="bootstrap resamples of the prompts")
    options.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write; .csv and .md decide what")
    return options.parse_args(argv)


def _titled(argument: str) -> Scores:
    named, equals, path = argument.partition("=")
    title, colon, column = named.rpartition(":")
    if not (equals and path and colon and title and column):
        raise argparse.ArgumentTypeError(f"'{argument}' is not of the form TITLE:COLUMN=PATH")
    return title, column, path


def _scores(given: Sequence[Scores]) -> dict[str, pd.Series]:
    from workflow_scripts.lib.metrics.inputs import read_scores

    paths: dict[tuple[str, str], list[str]] = {}
    for title, column, path in given:
        paths.setdefault((title, column), []).append(path)
    return {title: read_scores(parts, column) for (title, column), parts in paths.items()}


if __name__ == "__main__":
    run(main)
