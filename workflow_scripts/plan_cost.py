"""What targets cost before they are launched: jobs still needed, GPU-hours, CPU-hours, gigabytes, licences, terms."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_scripts.lib.cli import parser, run

if TYPE_CHECKING:
    from workflow_scripts.lib.cost.numbers import Numbers
    from workflow_scripts.lib.cost.plan import Row

SCALES = ("pilot", "paper")


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `plan_cost`."""
    options = parser(__doc__)
    options.add_argument("targets", nargs="*", metavar="TARGET", help="tables, figures, papers or files; none: all")
    options.add_argument("--scale", help="pilot or paper; as the profile or config/config.yaml if left out")
    options.add_argument("--profile", help="folder of a profile, which may choose the scale")
    options.add_argument("--gpu", default="h100", help="a GPU of config/costs.yaml")
    options.add_argument("--csv", type=Path, metavar="FILE", help="also write the rows, unrounded, as CSV")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the rows, unrounded, as JSON")
    options.add_argument("--page", type=Path, metavar="FILE", help="only write docs/costs.md: both scales from nothing")
    args = options.parse_args(argv)

    from workflow_scripts.lib.cost.numbers import load_numbers
    from workflow_scripts.lib.cost.report import page, terminal
    from workflow_scripts.lib.files import atomic_write

    numbers = load_numbers("config", args.gpu)
    if args.page:
        plans = {scale: _rows([], numbers, {"scale": scale}, from_nothing=True)[0] for scale in SCALES}
        with atomic_write(args.page) as temporary:
            temporary.write_text(page(plans, numbers), encoding="utf-8")
        return
    rows, scale = _rows(args.targets, numbers, _settings(args.profile, args.scale))
    print(terminal(rows, numbers, scale))
    write(rows, args.csv, args.json)


def _rows(
    names: Sequence[str], numbers: Numbers, settings: dict[str, Any], *, from_nothing: bool = False
) -> tuple[list[Row], str]:
    """The rows of a plan and the scale that it is for."""
    from workflow_scripts.lib.cost.estimate import costs_of
    from workflow_scripts.lib.cost.plan import plan, targets_of
    from workflow_scripts.lib.errors import UserError
    from workflow_scripts.lib.jobs import planned_jobs
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.spec.loading import load_document

    config = load_config(settings=load_document(Path("config/config.yaml")).data | settings)
    scale = config.scale(config.settings["scale"])
    if scale.device != "cuda":
        raise UserError(
            f"scale '{scale.name}' runs on a CPU, without downloads; the README has its minutes. "
            "Name the scale that you plan: --scale pilot or --scale paper"
        )
    targets = targets_of(names, config, scale.name)
    words = [*targets, "--config", *(f"{key}={value}" for key, value in settings.items())]
    jobs = planned_jobs([*words, *(["--forceall"] if from_nothing else [])])
    return plan(targets, jobs, costs_of(jobs, config, numbers), config), scale.name


def _settings(profile: str | None, scale: str | None) -> dict[str, Any]:
    """Settings of a profile, and the scale of the command line before them."""
    from snakemake.cli import parse_args, parse_config

    words = ["--profile", profile] if profile else []
    with _quiet():
        _, args = parse_args(["--workflow-profile", "none", *words])
    return parse_config(args.config or []) | ({"scale": scale} if scale else {})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what Snakemake says while it reads profiles and builds its graph; errors come as exceptions."""
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def write(rows: Sequence[Row], csv: Path | None, json: Path | None) -> None:
    """The rows, unrounded, to files."""
    from workflow_scripts.lib.cost import report
    from workflow_scripts.lib.files import atomic_write, write_json

    records = [report.record(row) for row in rows]
    if json:
        write_json(json, records)
    if csv:
        import pandas as pd

        lists = ("download_size_unknown", "terms_to_accept", "licences", "not_estimated")
        flat = [one | {name: "; ".join(one[name]) for name in lists} for one in records]
        with atomic_write(csv) as temporary:
            pd.DataFrame(flat).to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main)
