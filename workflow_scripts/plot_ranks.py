"""Plot metrics against the rank of samples by a reward, from metrics files."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `plot_ranks`."""
    options = parser(__doc__)
    options.add_argument("--figure", required=True, help="name of the figure in the configuration")
    options.add_argument("--scale", required=True, help="tiny, pilot, paper")
    options.add_argument("--metrics", type=Path, nargs="+", required=True, help="metrics files of all ranks and lines")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)

    from workflow_scripts.lib.results.evidence import Evidence
    from workflow_scripts.lib.results.plotting import save
    from workflow_scripts.lib.results.ranks import draw_ranks, rank_panels
    from workflow_scripts.lib.results.tables import scaled_table
    from workflow_scripts.lib.spec import load_config

    figure = scaled_table(load_config(), args.figure, args.scale)
    save(draw_ranks(rank_panels(figure, Evidence(args.metrics))), args.out)


if __name__ == "__main__":
    run(main)
