"""Reading images and latents back, checked."""

from __future__ import annotations

import hashlib
import io
import mmap
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UserError
from ..files import read_json
from .images import decode
from .layout import INDEX, LATENTS, TAR, crc32, crc_of_tensor, is_safe, sizes_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


ROWS_AT_ONCE = 1000


class Row(NamedTuple):
    """An image of a collection: what is known of it, its place in the tar and its checksums, its row in its shard."""

    key: str
    prompt_id: int
    k: int
    prompt: str
    seed: int
    offset: int
    size: int
    crc32: int
    latents_crc32: int
    row: int
    shard: int


class Collection:
    """The images of several parts, in the order of the parts, of their shards and in which they were added.

    Opening checks that every file is there with its size, reading checks every checksum; what fails is a UserError that
    names the file and the cure. Holds the index and one image at a time.
    """

    def __init__(self, paths: Iterable[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self._contents = [_read_part(path) for path in self.paths]
        listed = zip(self.paths, self._contents, strict=True)
        self._shards = [_Shard(path, entry) for path, content in listed for entry in content["shards"]]
        self.count: int = sum(content["images"] for content in self._contents)
        self.frames: int | None = _frames_of(self.paths, self._contents)

    def index(self) -> pd.DataFrame:
        """A row per image, its columns the fields of `Row`."""
        return self._index.copy()

    def images(self, keys: Iterable[str] | None = None) -> Iterator[tuple[Row, np.ndarray]]:
        """(row of the index, uint8 array (H, W, 3) or (F, H, W, 3)) of all images, or of `keys` in their order."""
        from PIL.Image import DecompressionBombError

        for row, data in self.encoded(keys):
            try:
                image = decode(data, self.frames)
            except (ValueError, OSError, DecompressionBombError):
                what = "image" if self.frames is None else f"{self.frames} frames"
                raise self._shards[row.shard].damaged(TAR, f"holds no {what} as {row.key}") from None
            yield row, image

    def encoded(self, keys: Iterable[str] | None = None) -> Iterator[tuple[Row, memoryview]]:
        """As `images`, but the compressed bytes, checked and not copied."""
        opened, tar = -1, memoryview(b"")
        for row in self._rows(keys):
            if row.shard != opened:
                opened, tar = row.shard, self._shards[row.shard].tar()
            data = tar[row.offset : row.offset + row.size]
            if crc32(data) != row.crc32:
                raise self._shards[row.shard].damaged(TAR, f"is damaged at image {row.key}")
            yield row, data

    def latents(self, keys: Iterable[str] | None = None) -> torch.Tensor:
        """Latents (N, C, h, w), or with further axes before h, of all images or of `keys` in their order."""
        import torch

        opened, stored, rows = -1, torch.empty(0), list(self._rows(keys))
        result = torch.empty(0)
        for i, row in enumerate(rows):
            if row.shard != opened:
                opened, stored = row.shard, self._shards[row.shard].latents()
            if crc_of_tensor(stored[row.row]) != row.latents_crc32:
                raise self._shards[row.shard].damaged(LATENTS, f"is damaged at image {row.key}")
            if i == 0:
                result = stored.new_empty(len(rows), *stored.shape[1:])
            result[i] = stored[row.row]
        return result

    @cached_property
    def _index(self) -> pd.DataFrame:
        import pandas as pd

        frames = [shard.index().assign(shard=number) for number, shard in enumerate(self._shards)]
        index = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=Row._fields)
        repeated = index["key"][index["key"].duplicated()]
        if len(repeated):
            raise UserError(f"image {repeated.iloc[0]} is in {_listed(self.paths)} more than once; name each part once")
        return index

    def _rows(self, keys: Iterable[str] | None) -> Iterator[Row]:
        index = self._index
        if keys is not None:
            keys = list(keys)
            places = index.set_index("key").index.get_indexer(keys)
            missing = [key for key, place in zip(keys, places, strict=True) if place < 0]
            if missing:
                raise UserError(
                    f"{len(missing)} of {len(keys)} images, the first {missing[0]}, are not in {_listed(self.paths)}: "
                    "the list of images was made from another collection; make it anew"
                )
            index = index.take(places)
        for start in range(0, len(index), ROWS_AT_ONCE):
            block = index.iloc[start : start + ROWS_AT_ONCE]
            yield from map(Row._make, zip(*(block[column].tolist() for column in Row._fields), strict=True))


class Part(Collection):
    """The images of one part; `fingerprint` and `about` as they were given to `write_part`."""

    def __init__(self, path: str | Path) -> None:
        super().__init__([path])
        self.fingerprint: str = self._contents[0]["fingerprint"]
        self.about: dict[str, Any] = self._contents[0]["about"]


class _Shard:
    """One shard of a part; opening it checks that its files are there and of their size."""

    def __init__(self, part: Path, entry: dict[str, Any]) -> None:
        self.part, self.entry = part, entry
        for file, size in sizes_of(part.parent, entry).items():
            suffix = file.name.removeprefix(entry["name"])
            if not file.exists():
                raise self.damaged(suffix, "is missing")
            if file.stat().st_size != size:
                raise self.damaged(suffix, f"has {file.stat().st_size:,} bytes instead of {size:,}")
        if not self.file(INDEX).exists():
            raise self.damaged(INDEX, "is missing")

    def file(self, suffix: str) -> Path:
        return self.part.parent / (self.entry["name"] + suffix)

    def damaged(self, suffix: str, why: str) -> UserError:
        """The error to raise about one of the shard's files."""
        file = self.file(suffix)
        cure = f"delete it and run the same command again, only this shard is made anew: rm -f '{file}' '{self.part}'"
        return UserError(f"{file} {why}; {cure}")

    def index(self) -> pd.DataFrame:
        import pyarrow.parquet as pq

        data = self.file(INDEX).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.entry["sha256"]:
            raise self.damaged(INDEX, f"is not the index that {self.part.name} lists")
        index = pq.ParquetFile(io.BytesIO(data)).read(use_threads=False).to_pandas()
        return index.assign(row=range(len(index)))

    def tar(self) -> memoryview:
        """The bytes of the tar, mapped: reading costs no copy."""
        with open(self.file(TAR), "rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if len(data) != self.entry["bytes"]:
            raise self.damaged(TAR, f"has {len(data):,} bytes instead of {self.entry['bytes']:,}")
        return data

    def latents(self) -> torch.Tensor:
        """All latents of the shard (N, C, …, h, w), mapped."""
        from safetensors import SafetensorError, safe_open

        if not self.entry["latents_bytes"]:
            raise UserError(f"{self.part} keeps no latents; make them with encode_latents or sample again keeping them")
        try:
            with safe_open(self.file(LATENTS), "pt") as file:
                return file.get_tensor("latents")
        except SafetensorError as error:
            raise self.damaged(LATENTS, f"cannot be read ({error})") from None


def _read_part(path: Path) -> dict[str, Any]:
    """A part's content; nothing in it can name a file outside of its folder."""
    content = read_json(path)
    try:
        valid = content["images"] == sum(entry["images"] for entry in content["shards"])
        valid &= {"fingerprint", "about"} <= content.keys() and all(map(_is_entry, content["shards"]))
    except (AttributeError, KeyError, TypeError):
        valid = False
    if not valid:
        raise UserError(f"{path} does not list the shards of a part; make it anew: rm '{path}' && snakemake '{path}'")
    return content


def _frames_of(paths: list[Path], contents: list[dict[str, Any]]) -> int | None:
    """Frames of each clip, None for images; UserError for parts that differ."""
    kinds = {content["about"].get("frames") for content in contents}
    if len(kinds) > 1:
        raise UserError(
            f"{_listed(paths)} hold clips of different lengths, or images and clips; give parts of one kind"
        )
    return next(iter(kinds), None)


def _is_entry(entry: dict[str, Any]) -> bool:
    numbers = (entry["images"], entry["bytes"], entry["latents_bytes"])
    return is_safe(entry["name"]) and all(isinstance(number, int) for number in numbers) and "sha256" in entry


def _listed(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more" if paths else "no parts"
