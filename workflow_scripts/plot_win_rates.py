"""Plot the win rates of user studies: people's votes, or an automatic stand-in where nobody has voted."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `plot_win_rates`."""
    options = parser(__doc__)
    options.add_argument("--studies", nargs="+", required=True, help="names of studies in the configuration")
    options.add_argument(
        "--win-rates",
        type=Path,
        nargs="+",
        required=True,
        help="what is known of each, in order: .votes.csv, .proxy.csv",
    )
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)

    from workflow_scripts.lib.errors import UserError
    from workflow_scripts.lib.results.plotting import save
    from workflow_scripts.lib.results.win_rates import draw_win_rates, read_panel
    from workflow_scripts.lib.spec import load_config

    if len(args.studies) != len(args.win_rates):
        raise UserError(f"{len(args.studies)} studies but {len(args.win_rates)} files of win rates; give one for each")
    config = load_config()
    panels = [read_panel(config.study(name), path) for name, path in zip(args.studies, args.win_rates, strict=True)]
    save(draw_win_rates(panels), args.out)


if __name__ == "__main__":
    run(main)
