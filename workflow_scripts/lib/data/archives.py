"""Files inside archives: tar, zip, and Parquet tables as the Hugging Face hub stores images.

Archives are not trusted. Nothing is unpacked to a disk, so a name cannot point out of a folder; only plain files are
read, no links and no devices, and none that says it is larger than its kind can be.
"""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import IO

from ..errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
ArchivedFile = tuple[str, Callable[[], bytes]]
"""A file's name within its archive, and what reads it; only before the next file is asked for."""
LARGEST_IMAGE = 500_000_000  # bytes; Pillow refuses images of more than 179 million pixels
LONGEST_HEADER = 1_000_000  # bytes of a long name or of pax records in a tar
TEXTS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
MOST_FILES = 5_000_000  # of a tar, which may be compressed a thousandfold


def fetched(source: dict, data_folder: Path) -> Path:
    """Folder of a data set's files: named like its hub repository, or as the registry says."""
    return data_folder / source.get("hub", source.get("folder"))


def image_files(path: Path, pattern: str = "*", column: str = "image") -> Iterator[ArchivedFile]:
    """Images of one archive in their order there, those whose file name (without folders) matches a pattern.

    `column` is the Parquet column that holds {bytes, path}. UserError when the archive is missing or unreadable.
    """

    def wanted(name: str) -> bool:
        name = Path(name).name
        return Path(name).suffix.lower() in SUFFIXES and fnmatch(name, pattern)

    if path.suffix == ".parquet":
        yield from _of_parquet(path, wanted, column)
    elif path.suffix == ".zip":
        yield from zip_files(path, wanted, LARGEST_IMAGE)
    else:
        for member, file in tar_files(path):
            if wanted(member.name):
                yield member.name, partial(_contents, path, member.name, member.size, LARGEST_IMAGE, file.read)


def tar_files(path: Path) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Plain files of a tar in their order, each to be read before the next is asked for; UserError for damage."""
    with readable(path), tarfile.open(path, "r|*", tarinfo=_Header) as archive:
        for number, member in enumerate(archive):
            if number == MOST_FILES:
                raise tarfile.ReadError(f"it holds more than {MOST_FILES:,} files")
            if member.isfile():
                yield member, archive.extractfile(member)


def zip_files(path: Path, wanted: Callable[[str], bool], largest: int, by_name: bool = False) -> Iterator[ArchivedFile]:
    """Files of a zip whose names are wanted, in their order or by name; one of more than `largest` bytes is refused."""
    with readable(path), zipfile.ZipFile(path) as archive:
        found = [info for info in archive.infolist() if wanted(info.filename)]
        for info in sorted(found, key=lambda info: info.filename) if by_name else found:
            name, read = info.filename, partial(archive.read, info)
            yield name, partial(_contents, path, name, info.file_size, largest, read)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong while an archive or text is read into a UserError, also when it is missing."""
    if not path.exists():
        raise UserError(f"{path} is missing; fetch the data set first: see docs/data.md")
    damage = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError)
    try:
        yield
    except (*damage, ValueError, RuntimeError) as error:  # the last two: no text, no Parquet, encrypted
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error


class _Header(tarfile.TarInfo):
    """A header of a tar; `tarfile` would read names and records of any length that a header says into memory."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in TEXTS and header.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"it has a header of {header.size:,} bytes")
        return header


def _contents(path: Path, name: str, size: int, largest: int, read: Callable[[], bytes]) -> bytes:
    if size > largest:
        raise UserError(f"{name} in {path} has {size:,} bytes, at most {largest:,} make sense; fetch the archive again")
    with readable(path):
        return read()


def _of_parquet(path: Path, wanted: Callable[[str], bool], column: str) -> Iterator[ArchivedFile]:
    from pyarrow.parquet import ParquetFile

    with readable(path):
        file = ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise UserError(f"{path} has no column '{column}'; it has: {', '.join(file.schema_arrow.names)}")
        for batch in file.iter_batches(batch_size=64, columns=[column]):
            for image in batch.column(0).to_pylist():
                if not isinstance(image, dict) or image.get("path") is None:
                    raise UserError(f"images in column '{column}' of {path} have no names to choose by")
                if wanted(image["path"]):
                    yield image["path"], partial(image.get, "bytes")
