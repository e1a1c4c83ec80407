"""Draw the steps that make one file, from the workflow's own graph of rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `draw_pipeline`."""
    options = parser(__doc__)
    options.add_argument("--target", required=True, help="the file whose making is drawn")
    options.add_argument("--next-round", help="the same file of the next round: what it reads from the first is drawn")
    options.add_argument("--rules", type=Path, default=Path("rules"), help="folder of the rules: a stage each")
    options.add_argument("--out", type=Path, nargs="+", required=True, help="files to write, .pdf or .png")
    args = options.parse_args(argv)

    from workflow_scripts.lib.results.pipeline import draw_pipeline, read_pipeline, stages_of
    from workflow_scripts.lib.results.plotting import save

    pipeline = read_pipeline(*map(_rulegraph, filter(None, (args.target, args.next_round))))
    save(draw_pipeline(pipeline, stages_of(sorted(args.rules.glob("*.smk")))), args.out)


def _rulegraph(target: str) -> str:
    import os
    import subprocess
    import sys

    from workflow_scripts.lib.errors import UserError

    python = os.environ.get("WORKFLOW_SNAKEMAKE", sys.executable)
    command = [python, "-m", "snakemake", "--forceall", "--nolock", "--rulegraph", "dot", "--", target]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"snakemake cannot plan {target}: {done.stderr.strip()[-500:]}; is it a file of this workflow?")
    return done.stdout


if __name__ == "__main__":
    run(main)
