"""Count people's votes of a user study: win rates of B over A, with intervals over raters and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `analyse_votes`."""
    options = parser(__doc__)
    options.add_argument("--key", type=Path, required=True, help="key that make_user_study wrote beside the page")
    help_votes = "exports of the page (.csv, .json), or folders of them; resources/votes/{scale}{study} when left out"
    options.add_argument("--votes", type=Path, nargs="+", help=help_votes)
    options.add_argument("--resamples", type=int, default=10_000, help="bootstrap resamples of raters and prompts")
    options.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write; .csv and .md decide what")
    args = options.parse_args(argv)

    import pandas as pd

    from workflow_scripts.lib.results.writing import write_texts
    from workflow_scripts.lib.study.key import read_key
    from workflow_scripts.lib.study.votes import read_votes, vote_files, votes_folder
    from workflow_scripts.lib.study.win_rate import as_rows, markdown, win_rates

    key = read_key(args.key)
    votes = read_votes(vote_files(args.votes or [votes_folder(key)]), key)
    rates = win_rates(votes, key, args.resamples, args.seed)
    texts = {
        ".csv": lambda: pd.DataFrame(as_rows(rates, key)).to_csv(index=False),
        ".md": lambda: markdown(rates, key),
    }
    write_texts(args.out, texts)


if __name__ == "__main__":
    run(main)
