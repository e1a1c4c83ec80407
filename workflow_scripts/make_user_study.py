"""Make the page of a user study, one HTML file of blinded pairs of images, and the key that says whose they are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `make_user_study`."""
    args = _arguments(argv)

    from workflow_scripts.lib.files import atomic_write, write_json
    from workflow_scripts.lib.metrics.inputs import read_table_parts
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.spec.studies import planned_sides
    from workflow_scripts.lib.study.key import Side
    from workflow_scripts.lib.study.page import page
    from workflow_scripts.lib.study.pairs import Source, make_pairs

    config = load_config()
    study, scale, sources = config.study(args.study), config.scale(args.scale), []
    for row, parts, rewards in zip(
        planned_sides(config, args.study, args.scale), (args.a, args.b), (args.rewards_a, args.rewards_b), strict=True
    ):
        side = Side(row.row.row, row.policy, row.selection)
        sources.append(Source(side, parts, read_table_parts([rewards]) if rewards else None))
    key, images = make_pairs(study.name, scale.name, study.questions, *sources, study.num_shown(scale))
    with atomic_write(args.out) as temporary:
        temporary.write_text(page(study, key, images), encoding="utf-8")
    write_json(args.key, key.as_json())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--study", required=True, help="name of the study in the configuration")
    options.add_argument("--scale", required=True, help="tiny, pilot, paper")
    for side in ("a", "b"):
        help_parts = f"parts (part{{n}}.json) of the samples of policy {side.upper()}"
        options.add_argument(f"--{side}", type=Path, nargs="+", required=True, metavar="PART", help=help_parts)
        help_rewards = f"rewards by which policy {side.upper()} selects, where it does"
        options.add_argument(f"--rewards-{side}", type=Path, metavar="PATH", help=help_rewards)
    options.add_argument("--out", type=Path, required=True, help="page to write, .html: this is what raters get")
    options.add_argument("--key", type=Path, required=True, help="key to write, .json: raters must not get it")
    return options.parse_args(argv)


if __name__ == "__main__":
    run(main)
