"""What finished jobs used of the memory, time and CPUs that they asked for, by rule, with advice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `report_efficiency`."""
    options = parser(__doc__)
    options.add_argument("--scale", default=None, help="tiny, pilot, paper (default: that of config/config.yaml)")
    args = options.parse_args(argv)

    from workflow_scripts.lib.monitor.benchmarks import FOLDER, read_benchmarks
    from workflow_scripts.lib.monitor.efficiency import efficiency_of
    from workflow_scripts.lib.monitor.efficiency_report import report
    from workflow_scripts.lib.spec import load_config

    config = load_config()
    scale = config.scales[args.scale or config.settings["scale"]]
    measured = read_benchmarks([Path("results") / scale.prefix / FOLDER])
    print(report(efficiency_of(measured), warm=scale.warm_start))


if __name__ == "__main__":
    run(main)
