"""Fetch the files of a registered model, unless they are on this machine, convert pickles, record what they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `fetch_model`."""
    options = parser(__doc__)
    options.add_argument("--model", required=True, help="name in config/models.yaml")
    options.add_argument("--out", type=Path, required=True, help="record of what was fetched (.json)")
    args = options.parse_args(argv)

    from workflow_scripts.lib.downloads import downloads_of_model, fetch
    from workflow_scripts.lib.files import write_json
    from workflow_scripts.lib.pickles import convert_all
    from workflow_scripts.lib.spec import load_config

    entry = load_config().model_entry(args.model)
    downloads = downloads_of_model(entry)
    write_json(args.out, fetch(entry, downloads) | {"converted": convert_all(downloads)})


if __name__ == "__main__":
    run(main)
