"""The ends of logs: last lines of what failed, and how far a running job says that it is."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

TAIL_BYTES = 8192
LINE = re.compile(r"^.+: \d+/\d+ \(\d+%\), .*?((\d+) days?, )?(\d+):(\d\d):(\d\d) left$")
"""As `lib/progress.py` writes it."""


def last_lines(path: str | Path, count: int = 1) -> list[str]:
    """The last lines of a log that are not empty; none where there is no log yet."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    return [line for line in lines if line][-count:]


def last_progress(path: str | Path) -> str | None:
    """The newest line of a log that says how far its job is."""
    said = [line for line in last_lines(path, 50) if LINE.match(line)]
    return said[-1] if said else None


def seconds_left(path: str | Path) -> float | None:
    """What the newest progress line of a log says is left, less the time since then. None: it says nothing."""
    line = last_progress(path)
    if line is None:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in LINE.match(line).groups()[1:])
    age = time.time() - os.path.getmtime(path)
    return max(0.0, 86400 * days + 3600 * hours + 60 * minutes + seconds - age)
