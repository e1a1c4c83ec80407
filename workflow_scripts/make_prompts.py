"""Draw a prompt set from its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `make_prompts`."""
    options = parser(__doc__)
    options.add_argument("--source", required=True, help="name in config/data.yaml")
    options.add_argument("--prompt-set", required=True, help="train, negatives or eval")
    options.add_argument("--count", type=int, required=True, help="number of prompts")
    options.add_argument("--seed", type=int, default=0, help="of the draw")
    options.add_argument("--out", type=Path, required=True, help="Parquet file")
    args = options.parse_args(argv)

    from workflow_scripts.lib.data.prompts import draw_prompts
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.tables import write_table

    config = load_config()
    source = config.data_entry(args.source)
    prompts = draw_prompts(source, args.prompt_set, args.count, args.seed, Path(config.settings["data_folder"]))
    write_table(args.out, prompts)


if __name__ == "__main__":
    run(main)
