"""C7: writing a shard against one raw fsynced file of the same images, and indexed reading against raw reading.

The images are already compressed (C8 measures that) and as large as 512 x 512 photographs. Our side also writes tar
headers, checksums and the index and verifies them when reading; the raw side knows nothing of the kind. A shard costs a
few milliseconds whatever it holds, which the small shard (no goal) shows.
"""

from __future__ import annotations

import operator
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from workflow_scripts.lib.shards import ImageRecord, Part, ShardWriter, key_of, write_part

from .common import Comparison, compare, report, scratch

IMAGES, FEW_IMAGES = 500, 50
SMALLEST, LARGEST = 200_000, 400_000


def make_images(count: int) -> list[bytes]:
    """Bytes of the size of compressed 512 x 512 images."""
    rng = np.random.default_rng(0)
    return [rng.bytes(int(size)) for size in rng.integers(SMALLEST, LARGEST, count)]


def shard_writer(folder: Path, images: list[bytes]) -> Callable[[], Path]:
    """Writes shard and part; returns the path of the part."""
    records = [
        ImageRecord(key_of(i // 10, i % 10), None, i // 10, i % 10, f"prompt {i // 10}", i) for i in range(len(images))
    ]

    def write() -> Path:
        with ShardWriter(folder, "shard", "benchmark") as writer:
            for record, image in zip(records, images, strict=True):
                writer.add_encoded(record, image)
            write_part(folder / "part0.json", [writer.commit()], "benchmark")
        return folder / "part0.json"

    return write


def raw_writer(path: Path, images: list[bytes]) -> Callable[[], int]:
    def write() -> int:
        with open(path, "wb", buffering=0) as file:
            file.writelines(images)
            os.fsync(file.fileno())
        return path.stat().st_size

    return write


def raw_reader(path: Path, images: list[bytes]) -> Callable[[], int]:
    def read() -> int:
        with open(path, "rb", buffering=0) as file:
            return sum(len(file.read(len(image))) for image in images)

    return read


def same_size(part: Path, raw_bytes: int) -> bool:
    return Part(part).index()["size"].sum() == raw_bytes


def check_bytes(folder: Path, raw: Path, images: list[bytes]) -> None:
    """The shard, read by us and by `tarfile`, and the raw file hold the same images."""
    assert [bytes(data) for _, data in Part(folder / "part0.json").encoded()] == images
    with tarfile.open(folder / "shard.tar") as archive:
        assert [archive.extractfile(member).read() for member in archive] == images
    assert raw.read_bytes() == b"".join(images)


def compare_shards(folder: Path, images: list[bytes], *, goals: bool) -> list[Comparison]:
    """Writing, reading from an open part, opening and reading."""
    raw, part = folder / "raw", folder / "part0.json"
    write, write_raw, read_raw = shard_writer(folder, images), raw_writer(raw, images), raw_reader(raw, images)
    of = f"a shard of {len(images)}"
    results = [compare(f"write {of}", write, write_raw, same=same_size, goal=1.1 if goals else None)]
    check_bytes(folder, raw, images)
    opened = Part(part)
    for what, read in (("read", lambda: _bytes_read(opened)), ("open and read", lambda: _bytes_read(Part(part)))):
        results.append(compare(f"{what} {of}", read, read_raw, same=operator.eq, goal=1.25 if goals else None))
    return results


def main() -> None:
    with scratch() as folder:
        results = compare_shards(folder, make_images(IMAGES), goals=True)
        results += compare_shards(folder, make_images(FEW_IMAGES), goals=False)
        report("c7_shards", results, bytes_per_image=(SMALLEST + LARGEST) // 2)


def _bytes_read(part: Part) -> int:
    return sum(len(data) for _, data in part.encoded())


if __name__ == "__main__":
    main()
