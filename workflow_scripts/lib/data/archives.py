"""Image files inside archives: tar, zip, and Parquet tables as the Hugging Face hub stores images."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from ..errors import UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
ImageFile = tuple[str, Callable[[], bytes]]
"""A file's name within its archive, and what reads it; only before the next file is asked for."""


def fetched(source: dict, data_folder: Path) -> Path:
    """Folder of a data set's files: named like its hub repository, or as the registry says."""
    return data_folder / source.get("hub", source.get("folder"))


def image_files(path: Path, pattern: str = "*", column: str = "image") -> Iterator[ImageFile]:
    """Images of one archive in their order there, those whose file name (without folders) matches a pattern.

    `column` is the Parquet column that holds {bytes, path}. UserError when the archive is missing or unreadable.
    """
    if not path.exists():
        raise UserError(f"{path} is missing; fetch the data set first: see docs/data.md")

    def wanted(name: str) -> bool:
        name = Path(name).name
        return Path(name).suffix.lower() in SUFFIXES and fnmatch(name, pattern)

    try:
        if path.suffix == ".parquet":
            yield from _of_parquet(path, wanted, column)
        elif path.suffix == ".zip":
            yield from _of_zip(path, wanted)
        else:
            yield from _of_tar(path, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error


def _of_tar(path: Path, wanted) -> Iterator[ImageFile]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isfile() and wanted(member.name):
                yield member.name, archive.extractfile(member).read


def _of_zip(path: Path, wanted) -> Iterator[ImageFile]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if wanted(name):
                yield name, partial(archive.read, name)


def _of_parquet(path: Path, wanted, column: str) -> Iterator[ImageFile]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except ArrowInvalid as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error
    if column not in file.schema_arrow.names:
        raise UserError(f"{path} has no column '{column}'; it has: {', '.join(file.schema_arrow.names)}")
    for batch in file.iter_batches(batch_size=64, columns=[column]):
        for image in batch.column(0).to_pylist():
            if image["path"] is None:
                raise UserError(f"images in column '{column}' of {path} have no names to choose by")
            if wanted(image["path"]):
                yield image["path"], partial(image.get, "bytes")
