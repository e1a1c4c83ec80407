"""Work of the CPU beside that of the GPU: reading and decoding ahead, encoding and writing behind, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each fetched in a thread while the previous one is used (image decoders release the GIL)."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def mapped(work: Callable[[S], T], items: Iterable[S], threads: int) -> Iterator[T]:
    """`work` of each item, in order, by several threads; at most two items per thread are under way."""
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def behind() -> Iterator[Callable[..., None]]:
    """`later(work, *arguments)` does the work in a thread while the caller goes on, one call after the other.

    It first waits for the call before, so no more than one is under way, and leaving waits for the last. What a call
    raises is raised there.
    """
    under_way: list[Future[None]] = []

    def finish() -> None:
        while under_way:
            under_way.pop().result()

    def later(work: Callable[..., None], *arguments) -> None:
        finish()
        under_way.append(pool.submit(work, *arguments))

    with ThreadPoolExecutor(1) as pool:
        yield later
        finish()
