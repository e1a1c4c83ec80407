"""Check a reward: held-out accuracy, coverage of its proxies, what it varies with, agreement with other judges."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import form, grouped, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `validate_reward`."""
    options = parser(__doc__)
    options.add_argument("--rewards", type=Path, required=True, help="file of score_rewards")
    options.add_argument("--history", type=Path, help="history of train_reward, for a reward with a head")
    options.add_argument("--proxies", type=Path, nargs="+", default=[], help="features of the proxy images")
    options.add_argument("--num-proxies", type=int, help="use the first so many proxies; all when left out")
    options.add_argument("--references", type=Path, nargs="+", default=[], help="features of what they should cover")
    options.add_argument(
        "--judges",
        type=form("COLUMN=PATH"),
        nargs="+",
        required=True,
        metavar="COLUMN=PATH",
        help="score tables, every part",
    )
    options.add_argument("--resamples", type=int, required=True, help="bootstrap resamples of the prompts")
    options.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    options.add_argument("--out", type=Path, required=True, help="CSV file")
    args = options.parse_args(argv)

    import pandas as pd

    from workflow_scripts.lib.files import read_json
    from workflow_scripts.lib.metrics.inputs import read_feature_parts, read_scores, read_table_parts
    from workflow_scripts.lib.metrics.validity import agreement, content_share, held_out, proxy_coverage
    from workflow_scripts.lib.tables import write_table

    rewards = read_table_parts([args.rewards]).set_index("key")
    prompt_ids = rewards["prompt_id"].to_numpy()
    rows = list(held_out(read_json(args.history)["history"])) if args.history else []
    if args.proxies and args.references:
        proxies = read_feature_parts(args.proxies)[: args.num_proxies]
        rows += proxy_coverage(proxies, read_feature_parts(args.references))
    rows += content_share(rewards["logit"], prompt_ids, args.resamples, args.seed)
    for column, paths in grouped(args.judges).items():
        scores = read_scores(paths, column).loc[rewards.index].rename(column)
        rows += agreement(rewards["logit"], scores, prompt_ids, args.resamples, args.seed)
    write_table(args.out, pd.DataFrame(rows, columns=["judge", "measure", "value", "ci_low", "ci_high", "n"]))


if __name__ == "__main__":
    run(main)
