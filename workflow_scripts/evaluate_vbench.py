"""Score the clips of one policy by VBench's sixteen dimensions; an interrupted run continues at the next dimension."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.locks import sole_writer


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `evaluate_vbench`."""
    args = _arguments(argv)

    from workflow_scripts.lib.files import sha256, write_json
    from workflow_scripts.lib.metrics.vbench import summarise
    from workflow_scripts.lib.metrics.vbench_package import clip_table, evaluate, read_suite, require_package
    from workflow_scripts.lib.provenance import code_of, fingerprint
    from workflow_scripts.lib.shards import Collection
    from workflow_scripts.lib.tables import write_table

    suite = read_suite(args.full_info)
    require_package(args.weights)
    made_of = fingerprint(
        parts=[sha256(path) for path in (*args.clips, *args.flickering)],
        suite=sha256(args.full_info),
        fps=args.fps,
        code=code_of("evaluate_vbench"),
    )
    collections = Collection(args.clips), Collection(args.flickering)
    with sole_writer(args.out):
        results = evaluate(
            *collections, suite, args.out.with_suffix(""), fps=args.fps, device=args.device, fingerprint=made_of
        )
    scores = {name: result["score"] for name, result in results.items()}
    write_table(args.clip_scores, clip_table(results, suite))
    write_json(args.out, {"dimensions": scores, **summarise(scores)._asdict()})


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--clips", type=Path, nargs="+", required=True, help="parts of the clips of VBench's prompts")
    add("--flickering", type=Path, nargs="+", required=True, help="parts of the clips for temporal_flickering")
    add("--full-info", type=Path, required=True, help="VBench_full_info.json")
    add("--weights", type=Path, required=True, help="folder of VBench's weights, in its own layout")
    add("--fps", type=int, required=True, help="frames per second of the clips")
    add("--device", default="cuda", help="cpu, cuda or cuda:N; VBench's static filter needs cuda")
    add("--clip-scores", type=Path, required=True, help="scores of every clip (.parquet)")
    add("--out", type=Path, required=True, help="scores of the dimensions and the total (.json)")
    return options.parse_args(argv)


if __name__ == "__main__":
    run(main)
