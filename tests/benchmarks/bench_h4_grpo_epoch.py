"""H4: a generator epoch of Adv-GRPO by our classes against a straightforward loop, on a random SD3.5-M of true size.

python -m tests.benchmarks.bench_h4_grpo_epoch [--size true|small] [--groups 4] [--rounds 5]

The goal is for a GPU with 80 GB. Without one the small size is run to see that both sides make the same; no ratio is
told. The loop is timed as it is, and under the anomaly detection that the released trainers leave on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from .common import Comparison, compare, report
from .grpo_epochs import LIMITS, Epochs, lacking, print_difference, same_within
from .sd3_sizes import SIZES

NAME, GOAL, MEMORY_GB = "h4_grpo_epoch", 3.0, 80
IMAGES_OF_AN_EPOCH = 768  # of the paper's configuration: 48 groups of 16, on 8 GPUs


def main(argv: Sequence[str] | None = None) -> None:
    missing = lacking(MEMORY_GB)
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", choices=SIZES, default="small" if missing else "true")
    options.add_argument("--groups", type=int, help="prompts of an epoch")
    options.add_argument("--rounds", type=int, default=5)
    args = options.parse_args(argv)
    if args.size == "true" and missing:
        options.error(f"the true size {missing}")
    torch.set_num_threads(1)
    epochs = Epochs(SIZES[args.size], args.groups)
    if args.size == "true":
        measure(epochs, args.rounds)
    else:
        only_compare(epochs, missing)


def only_compare(epochs: Epochs, missing: str | None) -> None:
    """Assert that both sides make the same, and claim nothing else."""
    difference = print_difference(epochs.ours(), epochs.straightforward())
    assert difference.within(LIMITS[epochs.training.mixed_precision]), "the two sides made different things"
    told = f"both sides equal at the small size; no ratio, as the true size {missing or 'is what the goal is for'}"
    print(told, flush=True)
    report(NAME, [], not_measured=told, goal=f">= {GOAL:g}", size="small", difference=difference._asdict())


def measure(epochs: Epochs, rounds: int) -> None:
    """Ratio, seconds, images per second and peak memory of both sides; the loop also as it was released."""
    same = same_within(LIMITS[epochs.training.mixed_precision])
    sides = {"straightforward loop": epochs.straightforward, "with anomaly detection": epochs.with_anomaly_detection}
    comparisons = [
        compare(f"{name} / ours", epochs.ours, side, same=same, goal=GOAL, speedup=True, rounds=rounds, clock="wall")
        for name, side in sides.items()
    ]
    about = {"size": "true", "device": torch.cuda.get_device_name(), "images": epochs.grpo.images_per_epoch}
    about |= speeds(comparisons[0], epochs.grpo.images_per_epoch)
    about["peak_gb"] = {side: peak / 1e9 for side, peak in epochs.peak_bytes.items()}
    print(*(f"{name}: {value}" for name, value in about.items()), sep="\n", flush=True)
    report(NAME, comparisons, **about)


def speeds(comparison: Comparison, images: int) -> dict[str, dict[str, float]]:
    """Of both sides: images per second and seconds for a whole epoch, were it done on one GPU, and for its eighth."""
    seconds = {"ours": comparison.ours, "straightforward": comparison.baseline}
    whole = {side: one * IMAGES_OF_AN_EPOCH / images for side, one in seconds.items()}
    return {
        "images_per_second": {side: images / one for side, one in seconds.items()},
        f"seconds_per_{IMAGES_OF_AN_EPOCH}_images": whole,
        f"seconds_per_{IMAGES_OF_AN_EPOCH // 8}_images": {side: one / 8 for side, one in whole.items()},
    }


if __name__ == "__main__":
    main()
