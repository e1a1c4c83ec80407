"""Appending to a file past the page cache.

An image is written once and read by another job, often on another machine: keeping it in memory buys nothing. Writing
past the cache takes less processor time than an ordinary write and pushes nothing else out.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from pathlib import Path

CHUNK = 2 << 20
ALIGNMENT = 4096


class DirectWriter:
    """Collects bytes in an aligned buffer of 2 MiB and writes it whole; ordinary writes where there is no other way."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._set_direct(True)
        self._buffer = memoryview(mmap.mmap(-1, CHUNK))  # anonymous maps are aligned to pages
        self._used = 0
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`."""
        self.size += len(data)
        while len(data) > CHUNK - self._used:
            head, data = data[: CHUNK - self._used], data[CHUNK - self._used :]
            self._buffer[self._used :] = head
            self._used = CHUNK
            self._flush()
        self._buffer[self._used : self._used + len(data)] = data
        self._used += len(data)

    def finish(self) -> None:
        """Append zeros up to a multiple of 4096 bytes, write everything and close."""
        self.write(bytes(-self.size % ALIGNMENT))
        self._flush()
        self.close()

    def close(self) -> None:
        """Close without writing what is still in the buffer; harmless after `finish`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        rest = self._buffer[: self._used]
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except OSError as error:
                if error.errno != errno.EINVAL or not self._set_direct(False):
                    raise
            else:
                rest = rest[written:]
        self._used = 0

    def _set_direct(self, on: bool) -> bool:
        """Switch direct writing on or off; whether that changed anything (some file systems do not know it)."""
        direct = getattr(os, "O_DIRECT", 0)
        before = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, before | direct if on else before & ~direct)
        except OSError:
            return False
        return fcntl.fcntl(self._descriptor, fcntl.F_GETFL) != before
