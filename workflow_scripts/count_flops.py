"""Count the FLOPs of the registry's models on networks without weights: config/flops.json, which plan_cost reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `count_flops`."""
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=Path("config/flops.json"), help="file to write")
    args = options.parse_args(argv)

    from workflow_scripts.lib.cost.flops import count_all
    from workflow_scripts.lib.files import write_json

    write_json(args.out, count_all())


if __name__ == "__main__":
    run(main)
