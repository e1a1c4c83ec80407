"""Writing shards and the part that lists them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..files import atomic_write, disk_full_as_user_error, publish, temporary_beside, write_json
from .direct import DirectWriter
from .images import ImageRecord, encode
from .layout import BLOCK, INDEX, LATENTS, TAR, crc32, crc_of_tensor, index_schema, is_safe, sizes_of, tar_header

if TYPE_CHECKING:
    import numpy as np
    import torch

END_OF_TAR = bytes(2 * BLOCK)


class ShardWriter:
    """Writes one shard; as a context manager it leaves nothing behind unless `commit` was called.

    Holds in memory the index, the latents and 2 MiB of compressed images, however many images it is given.
    """

    def __init__(self, folder: str | Path, name: str, fingerprint: str) -> None:
        self._folder, self._name, self._fingerprint = Path(folder), _checked(name), fingerprint
        self._rows: dict[str, tuple[Any, ...]] = {}
        self._latents: list[torch.Tensor] = []
        self._temporary = temporary_beside(self._folder / (name + TAR))
        self._file = DirectWriter(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, record: ImageRecord, latents: torch.Tensor | np.ndarray | None = None) -> None:
        """Compress and append one image, with its latents (C, h, w) or (C, frames, h, w) if the shard keeps latents."""
        self.add_encoded(record, encode(record.image), latents)

    def add_encoded(self, record: ImageRecord, data: bytes | memoryview, latents: Any = None) -> None:
        """Append bytes that `encode` made or `Collection.encoded` yields; `record.image` is not looked at."""
        if record.key in self._rows:
            raise ValueError(f"image {record.key} is already in shard {self._name}")
        if self._rows and (latents is None) == bool(self._latents):
            raise ValueError(f"shard {self._name}: either all images have latents or none")
        header = tar_header(_checked(record.key) + ".webp", len(data))
        place = (self._file.size + BLOCK, len(data), crc32(data), 0 if latents is None else self._keep(latents))
        self._rows[record.key] = (record.key, record.prompt_id, record.k, record.prompt, record.seed, *place)
        with disk_full_as_user_error(self._folder):
            self._file.write(header)
            self._file.write(data)
            self._file.write(bytes(-len(data) % BLOCK))

    def commit(self) -> dict[str, Any]:
        """Make the shard visible: images, latents and, last, the index. Returns its entry for `write_part`."""
        tar, latents, index = (self._folder / (self._name + suffix) for suffix in (TAR, LATENTS, INDEX))
        with disk_full_as_user_error(self._folder):
            self._file.write(END_OF_TAR)
            self._file.finish()
            index.unlink(missing_ok=True)  # from here until the new index stands there is no shard of this name
            publish(self._temporary, tar)
            latents.unlink(missing_ok=True)
            latents_bytes = _write_latents(latents, self._latents)
            about = {"images": len(self._rows), "bytes": self._file.size, "latents_bytes": latents_bytes}
            _write_index(index, list(self._rows.values()), {**about, "fingerprint": self._fingerprint})
        entry = committed(self._folder, self._name, self._fingerprint)
        assert entry is not None, f"shard {self._name} was changed while it was being committed"
        return entry

    def _keep(self, latents: torch.Tensor | np.ndarray) -> int:
        """Copy an image's latents to CPU memory; returns their checksum."""
        import torch

        kept = torch.as_tensor(latents).detach().to("cpu", copy=True).contiguous()
        like = self._latents[0] if self._latents else kept
        if kept.ndim < 3 or (kept.shape, kept.dtype) != (like.shape, like.dtype):
            found = f"{kept.dtype} {tuple(kept.shape)}"
            raise ValueError(f"the latents of a shard must be of one type and one shape (C, …, h, w), not {found}")
        self._latents.append(kept)
        return crc_of_tensor(kept)


def committed(folder: str | Path, name: str, fingerprint: str) -> dict[str, Any] | None:
    """The entry of a whole shard made from `fingerprint`; None if missing, truncated or of another fingerprint."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(folder)
    try:
        index = (folder / (_checked(name) + INDEX)).read_bytes()
        about = json.loads(pq.read_schema(io.BytesIO(index)).metadata[b"shard"])
        entry = {"name": name, **about, "sha256": hashlib.sha256(index).hexdigest()}
        whole = all(file.stat().st_size == size for file, size in sizes_of(folder, entry).items())
    except (OSError, pa.ArrowException, KeyError, TypeError):
        return None
    return entry if whole and entry["fingerprint"] == fingerprint else None


def write_part(path: str | Path, shards: Sequence[Mapping[str, Any]], fingerprint: str, **about: Any) -> None:
    """List a part's shards (as `ShardWriter.commit` returned them) in a file beside them; `about` is JSON-able.

    Where images are clips, `about` must say of how many `frames`.

    An entry's `sha256` is that of the shard's index, which holds size and CRC-32 of every image and of its latents.
    """
    images = sum(shard["images"] for shard in shards)
    write_json(path, {"fingerprint": fingerprint, "images": images, "about": about, "shards": list(shards)})


def _checked(name: str) -> str:
    if not is_safe(name):
        raise ValueError(f"{name!r} cannot name a shard or an image: at most 91 letters, digits and . _ @ -")
    return name


def _write_latents(path: Path, latents: list[torch.Tensor]) -> int:
    """Bytes written: 0 if the shard keeps no latents."""
    if not latents:
        return 0
    import torch
    from safetensors.torch import save_file

    with atomic_write(path) as temporary:
        save_file({"latents": torch.stack(latents)}, temporary)
    return path.stat().st_size


def _write_index(path: Path, rows: list[tuple[Any, ...]], about: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = index_schema()
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    table = pa.Table.from_arrays(columns, schema=schema.with_metadata({"shard": json.dumps(about)}))
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
