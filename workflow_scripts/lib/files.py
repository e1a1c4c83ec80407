"""Files that are either whole or absent: atomic writing, checksums and JSON."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import UserError

PathLike = str | os.PathLike[str]


@contextmanager
def atomic_write(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is fsynced and renamed to `path`, on failure removed.

    The folder is made if need be. A full disk is a UserError; what lay at `path` before is untouched by any failure.
    """
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        with disk_full_as_user_error(path.parent):
            yield temporary
            publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """`.<stem>.<host>.<pid>.tmp<suffix>` in the folder of `path`, which is made; what was left there is removed.

    Left: by a process of this host that no longer lives. Those of other hosts may live, which cannot be seen from here.
    The suffix stays at the end because many writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start, end = f".{path.stem}.{socket.gethostname()}.", f".tmp{path.suffix}"
    for leftover in path.parent.glob(f"{glob.escape(start)}*{glob.escape(end)}"):
        pid = leftover.name.removeprefix(start).removesuffix(end)
        if pid.isdigit() and not is_running(int(pid)):
            leftover.unlink(missing_ok=True)
    return path.with_name(f"{start}{os.getpid()}{end}")


def publish(temporary: Path, path: Path) -> None:
    """Move a finished temporary file to `path` so that a power cut leaves either the old file or the whole new one."""
    _fsync(temporary)
    os.replace(temporary, path)
    _fsync(path.parent)


@contextmanager
def disk_full_as_user_error(folder: PathLike) -> Iterator[None]:
    """Turn any error caused by a full disk into a UserError that names `folder` and the bytes free there."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not is_disk_full(error):
            raise
        raise UserError(disk_full_message(folder)) from error


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk or a spent quota is behind an error, also as torch or safetensors (Rust) report it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if f"(os error {errno.ENOSPC})" in str(error) or f"(os error {errno.EDQUOT})" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full_message(folder: PathLike) -> str:
    """What to tell the user, with the bytes free in `folder`."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    return (
        f"the disk or your quota is full: {folder} has {free:,} bytes free; what was there before is untouched. "
        "Make room and run the same command again"
    )


def sha256(path: PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(path: PathLike, digits: int) -> str:
    """SHA-256 of a file, or git's own checksum of it (SHA-1) where that is what is known: 64 or 40 digits."""
    if digits == 64:
        return sha256(path)
    content = Path(path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def write_json(path: PathLike, obj: Any) -> None:
    """Write `obj` atomically as strict JSON, keys in the given order; NaN and infinity are a ValueError."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: PathLike) -> Any:
    """Read JSON; a missing or damaged file is a UserError that names it and the command that makes it anew."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it: snakemake '{path}'") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}); make it anew: rm '{path}' && snakemake '{path}'") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_running(pid: int) -> bool:
    """Whether a process of this machine lives, anybody's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
