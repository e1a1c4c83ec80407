"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 30.0


def progress(iterable: Iterable[T], total: int | None = None, desc: str = "") -> Iterator[T]:
    """Yield from `iterable`, with tqdm on a terminal, else a line on stderr at most every 30 s."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    if sys.stderr.isatty():
        from tqdm import tqdm

        return iter(tqdm(iterable, total=total, desc=desc))
    return _with_lines(iterable, total, desc)


def _with_lines(iterable: Iterable[T], total: int | None, desc: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, item in enumerate(iterable, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            print(_line(done, total, now - start, desc), file=sys.stderr, flush=True)


def _line(done: int, total: int | None, seconds: float, desc: str) -> str:
    """`sampling: 120/2000 (6 %), 3.2/s, 0:09:47 left`, or slow loops as seconds per item."""
    rate = done / seconds
    speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
    if not total:
        return f"{desc}: {done}, {speed}"
    left = int(max(total - done, 0) / rate)
    clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    return f"{desc}: {done}/{total} ({done / total:.0%}), {speed}, {clock} left"
