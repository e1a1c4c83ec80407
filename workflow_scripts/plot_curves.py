"""Plot rewards and ground truth over the steps of training, from the histories of runs."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `plot_curves`."""
    options = parser(__doc__)
    options.add_argument("--figure", required=True, help="name of the figure in the configuration")
    options.add_argument("--policies", type=Path, nargs="+", required=True, help="policy files, with histories beside")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)

    from workflow_scripts.lib.results.curves import curve_panels, draw_curves, read_history
    from workflow_scripts.lib.results.plotting import save
    from workflow_scripts.lib.spec import load_config, parse_policy

    histories = {parse_policy(path.parent.name).name: read_history(path) for path in args.policies}
    save(draw_curves(curve_panels(load_config().figure(args.figure).panels, histories)), args.out)


if __name__ == "__main__":
    run(main)
