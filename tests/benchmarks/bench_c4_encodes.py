"""C4: encodes per distinct (image, encoder) pair over table and figure, and how much faster a second run is.

Counts are reduced as in tests/workflow unless `--full` is given: the longer the first run, the larger the ratio.
"""

from __future__ import annotations

import argparse
import re
import shlex
import time

from tests.workflow.study import TARGETS, Study, make_study
from workflow_scripts.lib.shards import Part

from .common import compare_numbers, report, scratch

GOAL_FASTER = 50


def encodes(study: Study, log: str) -> tuple[int, int]:
    """Images encoded or scored by the commands of a log, and the distinct pairs of image and model among them."""
    pattern = r"workflow_scripts\.(?:encode|score)_images --(?:encoder|scorer) (\S+) .*?--images (\S+)"
    commands = [(model, shlex.split(images)[0]) for model, images in re.findall(pattern, log)]
    pairs = [(model, images, key) for model, images in commands for key in Part(study.root / images).index()["key"]]
    return len(pairs), len(set(pairs))


def timed_run(study: Study) -> tuple[float, str]:
    start = time.perf_counter()
    log = study.snakemake("--printshellcmds", *TARGETS, warm=False).stdout
    return time.perf_counter() - start, log


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="the tiny scale as it is")
    reduced = not options.parse_args().full
    with scratch() as folder:
        study = make_study(folder / "study", reduced=reduced)
        first, log = timed_run(study)
        seconds = []
        for _ in range(3):
            again, said = timed_run(study)
            assert "Nothing to be done" in said
            seconds.append(again)
        made, distinct = encodes(study, log)
    results = [
        compare_numbers("encodes / distinct pairs of image and model", made, distinct, "images", goal=1.0),
        compare_numbers("second run / first run", sorted(seconds)[1], first, "wall s", goal=1 / GOAL_FASTER),
    ]
    report("c4_encodes", results, counts="reduced" if reduced else "tiny")


if __name__ == "__main__":
    main()
