"""Locks with an owner and an age: one writer of a result, and the heads that run in a folder.

They are `flock`s: the kernel takes one back when its process dies, however it dies, so none is ever stale. The file
says who holds it: host, process, SLURM job, command and since when. Where a file system knows no locks (ENOLCK, ENOSYS,
ENOTSUP) a warning says so and the work goes on without one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Be the only one who works on the file `out`; another writer is waited for, and said to be.

    A step that was started twice, by a head that was killed and by the next one, would else write the same shards and
    states at once. When the wait is over, the work is there and the step has little left to do. Of several processes
    of one training the first holds the lock, and the others wait until it does.
    """
    path = lock_of(out)
    if os.environ.get("RANK", "0") != "0":
        _wait_for_first(path)
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _waited_for(path, out):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: who waits for it looks whether it is still the same file


def lock_of(out: Path) -> Path:
    """The lock of who works on the file `out`."""
    return out.parent / f".{out.name}.lock"


def owners(folder: Path, besides: Path | None = None) -> tuple[list[dict], list[float]]:
    """Who holds the locks of a folder now, but `besides`, and when those signed who died; their locks are removed.

    One that was signed on another host counts as held, and its owner has its `path`: many file systems of clusters
    tell a host nothing of the others' locks. OSError where there are no locks: nobody can say there who lives.
    """
    held, dead = [], []
    for path in sorted(set(folder.glob("*.lock")) - {besides}):
        with suppress(FileNotFoundError), open(path, "r+") as file:
            free, owner = _locked(file, or_error=True), _owner(file)
            if free and owner.get("host", socket.gethostname()) == socket.gethostname():
                dead.append(os.fstat(file.fileno()).st_mtime)
                path.unlink(missing_ok=True)
            else:
                held.append(owner | {"path": str(path)} if free else owner)
    return held, dead


def holder(path: Path) -> dict | None:
    """Who holds the lock `path` now; None if nobody does. Looks only: also where nothing can be written."""
    with suppress(OSError), open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _owner(file)
    return None


def hold(path: Path) -> IO[str]:
    """Take the lock `path`, which is this process's own, for as long as the file that is returned stays open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = path.open("a+")
        if _locked(file) and _is(file, path):
            _sign(file)
            return file
        file.close()  # somebody looked just now whether it was held


def described(owner: dict) -> str:
    """`process 4711 on node3 (SLURM job 12), for 0:12:30: python -m …`."""
    job = f" (SLURM job {owner['slurm_job']})" if owner.get("slurm_job") else ""
    age = timedelta(seconds=max(0, int(time.time() - owner.get("since", time.time()))))
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}{job}, for {age}: {owner.get('command', '?')}"


@contextmanager
def _waited_for(path: Path, out: Path) -> Iterator[None]:
    told = False
    while True:
        with open(path, "a+") as file:
            if not _locked(file):
                if not told:
                    print(f"{out} is being written by {described(_owner(file))}; waiting", file=sys.stderr, flush=True)
                told = True
                time.sleep(POLL_SECONDS)
            elif _is(file, path):
                _sign(file)
                yield
                return


def _wait_for_first(path: Path) -> None:
    """Wait until the first process of this training has signed the lock; without torchrun it is not known by a name.

    Else the others would wait for it where torch does, which gives up after minutes.
    """
    run = _run()
    while run is not None and _signed_by(path).get("run") != run:
        time.sleep(POLL_SECONDS)


def _run() -> str | None:
    return os.environ.get("TORCHELASTIC_RUN_ID")


def _signed_by(path: Path) -> dict:
    with suppress(OSError), open(path) as file:
        return _owner(file)
    return {}


def _locked(file: IO[str], or_error: bool = False) -> bool:
    """Take the lock of an open file, if nobody has it. Without locks: as if it had been taken, or an OSError."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if or_error or error.errno not in NO_LOCKS:
            raise
        log.warning("%s: this file system has no locks; do not start anything twice", file.name)
    return True


def _is(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one at `path`: its last holder may have removed it."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    return False


def _sign(file: IO[str]) -> None:
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "slurm_job": os.environ.get("SLURM_JOB_ID")}
    file.truncate(0)
    json.dump({**owner, "run": _run(), "since": time.time(), "command": shlex.join(sys.argv)}, file)
    file.flush()
    os.fsync(file.fileno())  # for those who read it on other nodes


def _owner(file: IO[str]) -> dict:
    """What the holder wrote; empty for one that is about to write it."""
    file.seek(0)
    with suppress(ValueError):
        return json.loads(file.read())
    return {}
