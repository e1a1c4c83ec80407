"""Print the commands that fetch the models of a scale: those of the roles that are named, or all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `list_downloads`."""
    options = parser(__doc__)
    options.add_argument("roles", nargs="*", help="model roles of the scale; none: all")
    options.add_argument("--scale", required=True, help="pilot, paper")
    options.add_argument("--config", type=Path, default=Path("config"), help="folder of the configuration")
    args = options.parse_args(argv)

    from workflow_scripts.lib.downloads import fetch_script
    from workflow_scripts.lib.spec import load_config

    print(fetch_script(load_config(args.config), args.scale, args.roles))


if __name__ == "__main__":
    run(main)
