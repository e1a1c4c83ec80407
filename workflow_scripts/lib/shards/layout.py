"""What reader and writer agree on: names, checksums, the tar header, the columns of the index."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from isal.isal_zlib import crc32  # the same values, several times as fast
except ImportError:
    from zlib import crc32

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

TAR, LATENTS, INDEX = ".tar", ".latents.safetensors", ".parquet"
BLOCK = 512
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,90}")
_HEADER = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_HEADER_SUM = sum(_HEADER[:124]) + sum(_HEADER[136:148]) + 8 * ord(" ") + sum(_HEADER[156:])


def is_safe(name: object) -> bool:
    """Whether a shard's name or an image's key is a plain file name that cannot point out of its folder."""
    return isinstance(name, str) and _SAFE_NAME.fullmatch(name) is not None


def tar_header(name: str, size: int) -> bytes:
    """What `tarfile` writes for a file without owner and time, in a tenth of the time: only name and size vary."""
    who, digits = name.encode(), b"%011o\0" % size
    checksum = b"%06o\0 " % (_HEADER_SUM + sum(who) + sum(digits))
    return b"".join((who.ljust(100, b"\0"), _HEADER[100:124], digits, _HEADER[136:148], checksum, _HEADER[156:]))


def sizes_of(folder: Path, entry: Mapping[str, Any]) -> dict[Path, int]:
    """The bytes each data file of a shard must have; the index is known by its checksum instead."""
    sizes = {folder / (entry["name"] + TAR): entry["bytes"]}
    if entry["latents_bytes"]:
        sizes[folder / (entry["name"] + LATENTS)] = entry["latents_bytes"]
    return sizes


def crc_of_tensor(tensor: torch.Tensor) -> int:
    """CRC-32 of the bytes of a contiguous CPU tensor of any type."""
    import torch

    return crc32(tensor.view(torch.uint8).numpy())


def index_schema() -> pa.Schema:
    """Columns of the index: the image, its place in the tar, the checksums of its bytes and its latents (0: none)."""
    import pyarrow as pa

    string, int32, int64 = pa.string(), pa.int32(), pa.int64()
    image = [("key", string), ("prompt_id", int64), ("k", int32), ("prompt", string), ("seed", int64)]
    return pa.schema([*image, ("offset", int64), ("size", int64), ("crc32", int64), ("latents_crc32", int64)])
