"""Compute the metrics of one policy under one selection from cached scores and features, with their bootstrap."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import form, grouped, parser, run
from workflow_scripts.lib.errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `compute_metrics`."""
    args = _arguments(argv)

    from workflow_scripts.lib.metrics.aggregate import Aggregator
    from workflow_scripts.lib.metrics.record import write_metrics

    keys, prompt_ids = _selected(args)
    aggregator = Aggregator(
        keys, prompt_ids, num_resamples=args.resamples, seed=args.seed, minimum_images=args.minimum_images
    )
    _add_scores(aggregator, args)
    _add_distances(aggregator, args)
    _add_vbench(aggregator, args)
    results = {"num_prompts": aggregator.num_prompts, "metrics": aggregator.metrics, "columns": aggregator.columns()}
    write_metrics(args.out, args.policy, args.selection, **results)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--policy", required=True, help="recorded in the metrics file")
    options.add_argument("--selection", required=True, help="first, {reward}.best{K} or {reward}.rank{r}of{K}")
    options.add_argument(
        "--selection-file", type=Path, nargs="+", help="rewards of the images, by which they are selected"
    )
    options.add_argument(
        "--images", type=Path, nargs="+", help="parts of the collection (part{n}.json), in the order of --features"
    )
    several = {"type": form("METRIC=PATH"), "nargs": "+", "action": "extend", "default": []}
    options.add_argument(
        "--scores",
        metavar="METRIC[:COLUMN[+COLUMN]]=PATH",
        help="score tables of a metric, every part; of several columns the mean of their means",
        **several,
    )
    options.add_argument(
        "--features", metavar="METRIC=PATH", help="features of the images, every part in order", **several
    )
    options.add_argument(
        "--reference-features", metavar="METRIC=PATH", help="features of the images compared with", **several
    )
    options.add_argument(
        "--kernel", metavar="METRIC=METRIC", help="kernel distance, by the features of another metric", **several
    )
    options.add_argument(
        "--vbench",
        metavar="METRIC=PATH",
        help="scores of clips by evaluate_vbench, for a metric that is its total",
        **several,
    )
    options.add_argument("--resamples", type=int, required=True, help="bootstrap resamples of the prompts")
    options.add_argument("--minimum-images", type=int, required=True, help="fewer images are refused for a distance")
    options.add_argument(
        "--seed", type=int, default=0, help="seed of the draws; the same for all policies that are compared"
    )
    options.add_argument("--out", type=Path, required=True, help="metrics file; the bootstrap is written beside it")
    return options.parse_args(argv)


def _selected(args: argparse.Namespace) -> tuple[list[str], Sequence[int]]:
    """Keys of the selected images and their prompts, from the rewards, the index of the images or a score table."""
    from workflow_scripts.lib.metrics.inputs import read_table_parts
    from workflow_scripts.lib.metrics.selection import choose, parse

    if args.selection_file:
        pool = read_table_parts(args.selection_file)
    elif parse(args.selection).reward is not None:
        raise UserError(f"selection '{args.selection}' needs --selection-file with the rewards of the images")
    elif args.images:
        pool = _index(args.images)
    elif args.scores:
        pool = read_table_parts(next(iter(grouped(args.scores).values())))
    else:
        raise UserError("nothing to compute: give --scores, or --images with --features")
    keys = choose(pool, args.selection)
    return keys, pool.set_index("key").loc[keys, "prompt_id"].to_numpy()


def _index(images: Sequence[Path]):
    from workflow_scripts.lib.shards import Collection

    return Collection(images).index()


def _add_scores(aggregator, args: argparse.Namespace) -> None:
    from workflow_scripts.lib.metrics.inputs import read_scores

    for name, paths in grouped(args.scores).items():
        metric, _, columns = name.partition(":")
        aggregator.add_mean(metric, *(read_scores(paths, one) for one in (columns or metric).split("+")))


def _add_distances(aggregator, args: argparse.Namespace) -> None:
    from workflow_scripts.lib.metrics.inputs import ComparedFeatures, read_feature_parts

    features, references = grouped(args.features), grouped(args.reference_features)
    if features.keys() != references.keys():
        raise UserError("--features and --reference-features must name the same metrics")
    if features and not args.images:
        raise UserError("--features needs --images, whose index says which feature vector belongs to which image")
    keys, sets = _index(args.images)["key"].tolist() if features else [], {}
    for metric, paths in features.items():
        reference = read_feature_parts(references[metric])
        sets[metric] = ComparedFeatures(keys, read_feature_parts(paths, args.images), reference)
        aggregator.add_frechet(metric, sets[metric])
    for metric, source in args.kernel:
        if source not in sets:
            raise UserError(
                f"--kernel {metric}={source}: '{source}' has no --features; known: {', '.join(sets) or 'none'}"
            )
        aggregator.add_kernel(metric, sets[source])


def _add_vbench(aggregator, args: argparse.Namespace) -> None:
    from workflow_scripts.lib.tables import read_table

    if args.vbench and args.selection != "first":
        raise UserError(f"VBench scores all clips of a prompt; selection '{args.selection}' has no total of it")
    for metric, path in args.vbench:
        aggregator.add_vbench(metric, read_table(path))


if __name__ == "__main__":
    run(main, warm=True)
