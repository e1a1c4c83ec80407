"""What a test of a breakdown saw, kept for docs/reliability.md."""

from __future__ import annotations

import re
from pathlib import Path

from workflow_scripts.lib.files import write_json

FOLDER = Path(__file__).resolve().parents[2] / "results/reliability"


def record(what: str, **numbers: object) -> None:
    """Keep what was seen of a breakdown, under its name."""
    write_json(FOLDER / "failures" / f"{re.sub(r'[^a-z]+', '_', what.lower())}.json", {"what": what, **numbers})
