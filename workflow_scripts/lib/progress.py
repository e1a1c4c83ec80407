"""Progress of long loops: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 30.0


def progress(iterable: Iterable[T], total: int | None = None, desc: str = "", done: int = 0) -> Iterator[T]:
    """Yield from `iterable` and show how far it is; of `total` items, `done` were there before it."""
    if total is None and hasattr(iterable, "__len__"):
        total = done + len(iterable)
    shown = Progress(total, desc, done)
    for item in iterable:
        yield item
        shown.advance()
    shown.close()


class Progress:
    """How much of something is done: with tqdm on a terminal, else a line on stderr at most every 30 s.

    What was `done` before, by an interrupted job, counts as done but not in the rate. Of several processes of one
    training the first speaks.
    """

    def __init__(self, total: int | None, desc: str, done: int = 0) -> None:
        self.total, self.desc, self.done, self.before = total, desc, done, done
        self.start = self.last = self.now = time.monotonic()
        self.silent, self.bar = os.environ.get("RANK", "0") != "0", None
        if sys.stderr.isatty() and not self.silent:
            from tqdm import tqdm

            self.bar = tqdm(total=total, desc=desc, initial=done)

    def skip(self, count: int) -> None:
        """`count` more were done before."""
        self.before += count
        if self.bar is not None:
            self.bar.initial += count
        self.advance(count)

    def advance(self, count: int = 1) -> None:
        """`count` more are done."""
        self.done, self.now = self.done + count, time.monotonic()
        if self.bar is not None:
            self.bar.update(count)
        elif self.now - self.last >= SECONDS_BETWEEN_LINES:
            self._say()

    def close(self) -> None:
        """All is done. A log hears of it if it took long enough to be told of."""
        if self.bar is not None:
            self.bar.close()
        elif self.now - self.start >= SECONDS_BETWEEN_LINES and self.now > self.last:
            self._say()

    def _say(self) -> None:
        self.last = self.now
        if not self.silent and self.done > self.before:
            print(self._line(self.now - self.start), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        """`sampling: 120/2000 (6%), 3.2/s, 0:09:47 left`, or slow loops as seconds per item."""
        rate = (self.done - self.before) / seconds
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        if not self.total:
            return f"{self.desc}: {self.done}, {speed}"
        left = timedelta(seconds=int(max(self.total - self.done, 0) / rate))
        return f"{self.desc}: {self.done}/{self.total} ({self.done / self.total:.0%}), {speed}, {left} left"
