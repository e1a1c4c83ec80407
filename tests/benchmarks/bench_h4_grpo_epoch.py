"""H4: a generator epoch of Adv-GRPO by our classes against a straightforward loop, on a random SD3.5-M of true size.

python -m tests.benchmarks.bench_h4_grpo_epoch [--small] [--rounds 5]

64 of the 768 images of an epoch. Both sides train the same network, whose base is frozen in bfloat16. The loop is timed
as it is, and under the anomaly detection that the released trainers leave on.
"""

from __future__ import annotations

from collections.abc import Sequence

from workflow_scripts.lib.cli import run as run_cli

from .common import Comparison, compare
from .gpu import Run, parse, tell
from .grpo_epochs import LIMITS, Epochs, print_difference, same_within
from .sd3_sizes import SIZES

NAME, GOAL = "h4_grpo_epoch", 3.0
IMAGES_OF_AN_EPOCH = 768  # of the paper's configuration: 48 groups of 16, on 8 GPUs


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    epochs = Epochs(SIZES[run.size])
    comparisons, about = ([], {}) if run.small else measure(epochs, run)
    if run.small:
        difference = print_difference(epochs.ours(), epochs.straightforward())
        assert difference.within(LIMITS[epochs.training.mixed_precision]), "the two sides made different things"
    tell(NAME, run, f">= {GOAL:g}", comparisons, **about)


def measure(epochs: Epochs, run: Run) -> tuple[list[Comparison], dict]:
    """Ratio, seconds, images per second and peak memory of both sides; the loop also as it was released."""
    same = same_within(LIMITS[epochs.training.mixed_precision])
    sides = {"straightforward loop": epochs.straightforward, "with anomaly detection": epochs.with_anomaly_detection}
    options = {"goal": GOAL, "speedup": True, "rounds": run.rounds, "clock": "wall"}
    comparisons = [compare(f"{name} / ours", epochs.ours, side, same=same, **options) for name, side in sides.items()]
    about = {"images": epochs.grpo.images_per_epoch, **speeds(comparisons[0], epochs.grpo.images_per_epoch)}
    about["peak_gb_of_sides"] = {side: peak / 1e9 for side, peak in epochs.peak_bytes.items()}
    print(*(f"{name}: {value}" for name, value in about.items()), sep="\n", flush=True)
    return comparisons, about


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
    run_cli(main)
