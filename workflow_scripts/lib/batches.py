"""Batches that fit into a GPU's memory: one that does not is halved and tried again, and so are all that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from .errors import UserError

T = TypeVar("T")
SIGNS = (
    "unable to find an engine to execute this computation",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Of too little memory in the words of cuDNN and cuBLAS, which get theirs without torch."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error of a GPU comes from too little memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


class FittingBatches:
    """Batches of at most `size`; `what` names their items, `setting` is where the size is set.

    Only for work whose results do not depend on the batch, but for rounding.
    """

    def __init__(self, size: int, what: str, setting: str) -> None:
        self.size, self.what, self.setting = size, what, setting

    def map(self, work: Callable[[slice], T], count: int) -> Iterator[tuple[slice, T]]:
        """(places, `work(places)`) of `count` items, batch by batch. UserError if not even one fits."""
        start = 0
        while start < count:
            places = slice(start, min(start + self.size, count))
            for found in self._attempt(work, places, places.stop - start):
                yield places, found
                start = places.stop

    def repeat(self, work: Callable[[int], T]) -> T:
        """`work(size)`, from its beginning again with half the size where that does not fit."""
        while True:
            for found in self._attempt(work, self.size, self.size):
                return found

    def _attempt(self, work: Callable[..., T], argument, tried: int) -> list[T]:
        """What the work gives, or nothing where a batch of `tried` did not fit."""
        try:
            return [work(argument)]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._halve(tried, error)
        torch.cuda.empty_cache()  # what the attempt left is in pieces of other sizes
        return []

    def _halve(self, tried: int, error: RuntimeError) -> None:
        if tried == 1:
            raise UserError(
                f"not even a batch of one fits into the GPU's memory ({_first_sentence(error)}); use a GPU with more "
                "memory, or see that no other process fills this one"
            ) from error
        self.size = tried // 2
        print(
            f"a batch of {tried} {self.what} does not fit into the GPU's memory; going on with {self.size}. "
            f"Results are the same; {self.setting}: {self.size} would save the attempt",
            flush=True,
        )


@contextmanager
def memory_as_user_error(setting: str, size: int, otherwise: str) -> Iterator[None]:
    """Too little memory of the GPU becomes a UserError, where `size` decides the result and is not to be halved."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"set {setting} to {size // 2}, or " if size > 1 else ""
        raise UserError(
            f"the GPU's memory is too small for {setting} {size} ({_first_sentence(error)}); {smaller}{otherwise}"
        ) from error


def _first_sentence(error: Exception) -> str:
    return str(error).partition(". ")[0].strip().rstrip(".")
