"""The heads (processes of `snakemake`) that run in a folder, and what a killed one left behind."""

from __future__ import annotations

import atexit
import math
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import IO

from .locks import described, hold, owners

HEADS, LOCKS = "heads", "locks"
AFTER_A_KILL = (
    "A snakemake of this folder was killed: its locks are removed. Jobs of it may still run (`squeue --me`, `ps`): "
    "steps that write the same files wait for them, or you cancel them."
)


def enter(folder: Path) -> IO[str] | None:
    """Register this process as a head in `folder` (.snakemake) until the file that is returned is closed.

    Snakemake locks what it makes and names no owner; a head that is killed leaves these locks behind, and its
    registration, which one that ends takes with it. Where a head was killed and none lives, locks that are no older
    than it are removed here, so that the same command goes on. Where one lives, or may live on another host, it is
    named, and Snakemake decides: two heads may run side by side if they make nothing in common. None in a folder that
    cannot be written, or has no locks: there nobody can say which head lives, and `snakemake --unlock` is for the user
    to give.
    """
    path = folder / HEADS / f"{socket.gethostname()}-{os.getpid()}.lock"
    try:
        own = hold(path)  # first: of two that start together, each sees the other
        atexit.register(_leave, path, os.getpid())
        running, killed = owners(folder / HEADS, besides=path)
        left = [] if running else _locks_since(folder, killed)
        for path in left:
            path.unlink(missing_ok=True)
    except OSError:
        return None
    said = [AFTER_A_KILL] if left else [_told(owner) for owner in running]
    print(*said, sep="\n", end="\n" if said else "", file=sys.stderr)
    return own


def _leave(path: Path, process: int) -> None:
    if os.getpid() == process:  # not a child of it
        path.unlink(missing_ok=True)


def _locks_since(folder: Path, began: list[float]) -> list[Path]:
    """Snakemake's locks that killed heads may have left, by when these began: those that are no older."""
    return [path for path in (folder / LOCKS).glob("*.lock") if path.stat().st_mtime >= min(began, default=math.inf)]


def _told(owner: dict) -> str:
    cure = f". If it was killed: rm {shlex.quote(owner['path'])} && snakemake --unlock" if "path" in owner else ""
    return f"Also running here: {described(owner)}{cure}"
