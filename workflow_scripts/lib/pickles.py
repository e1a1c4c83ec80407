"""Weights that are published as pickles: read as tensors and nothing else, and converted once to safetensors."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import models
from .errors import UserError
from .files import atomic_write, sha256
from .hub import expected_checksum

if TYPE_CHECKING:
    from torch import Tensor

    from .downloads import Download

ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".p")
ARRAY = "array"
"""Name of the one tensor of a `.p`, the pickle of an array."""
FLOATS = ("f2", "f4", "f8")


def convert_all(downloads: Iterable[Download]) -> dict[str, str]:
    """Convert the pickles that a model's downloads name, when they are here; names of files by names of pickles."""
    pickles = [path for one in downloads for path in one.named() if path.suffix in ENDINGS]
    return {path.name: convert(path).name for path in pickles}


def convert(path: Path) -> Path:
    """The safetensors file of a pickle's tensors, written unless it is there; a pickle that changes has another.

    It is called by the pickle's checksum and lies among the workflow's own downloads, whosever cache the pickle is in.
    UserError if the pickle holds anything but tensors.
    """
    from safetensors.torch import save_file

    checksum = _checksum(path)
    converted = _folder() / f"{checksum}.safetensors"
    if not converted.is_file():
        about = {"pickle": path.name, "sha256": checksum}
        tensors = _separate(_unpickled(path))
        with atomic_write(converted) as temporary:
            save_file(tensors, temporary, about)
    return converted


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a pickle by name: of what it was converted to, or of itself where it was not, as in a mirror's folder.

    UserError if it holds anything but tensors, and for a converted file that is damaged or of another pickle.
    """
    from safetensors import SafetensorError, safe_open

    checksum = _checksum(path) if _folder().is_dir() else ""
    converted = _folder() / f"{checksum}.safetensors"
    if not checksum or not converted.is_file():
        return dict(_unpickled(path))
    try:
        with safe_open(converted, framework="pt") as file:
            if (file.metadata() or {}).get("sha256") != checksum:
                raise UserError(f"{converted} is not made from {path}; delete it")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
    except SafetensorError as error:
        raise UserError(f"{converted} is damaged ({error}); delete it") from error


def _folder() -> Path:
    return models.ROOT / models.DOWNLOADS / "safetensors"


def _checksum(path: Path) -> str:
    """SHA-256 of a pickle; in the hub's cache its name, which the download has checked."""
    named = expected_checksum(path.parent, path.name) or ""
    return named if re.fullmatch("[0-9a-f]{64}", named) else sha256(path)


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, contiguous and without shared memory, which safetensors does not know."""
    separate, seen = {}, set()
    for name, tensor in tensors.items():
        start = tensor.untyped_storage().data_ptr()
        separate[name] = tensor.detach().clone() if start in seen else tensor.detach()
        separate[name] = separate[name].contiguous()
        seen.add(start)
    return separate


def _unpickled(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a pickle, which may lie under `state_dict`; nothing that it asks for is called."""
    import torch

    if path.suffix == ".p":
        return {ARRAY: torch.from_numpy(read_array(path))}
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} is not a file of tensors alone, and nothing in it was run: {reason}") from error
    tensors = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(tensors, Mapping):
        raise UserError(f"{path} is not a file of tensors alone and by name: it holds a {type(tensors).__name__}")
    for name, one in tensors.items():
        if not isinstance(name, str) or not isinstance(one, torch.Tensor):
            raise UserError(f"{path} is not a file of tensors alone: {name!r} is a {type(one).__name__}")
    return tensors


def read_array(path: Path) -> np.ndarray:
    """The array of floats of a pickle that holds nothing else; a pickle that asks for anything more is a UserError."""
    try:
        found = _ArrayUnpickler(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError, KeyError) as error:
        raise UserError(f"{path} is not the pickle of a plain array ({error}); fetch it again") from error
    if not isinstance(found, _Array) or found.values is None:
        raise UserError(f"{path} holds a {type(found).__name__}, not an array; fetch it again")
    return found.values


class _Dtype:
    """Stands in for numpy's dtype while an array is read: floats only."""

    def __init__(self, name: str, *_: bool) -> None:
        if name not in FLOATS:
            raise pickle.UnpicklingError(f"it holds {name!r} instead of floats")
        self.name, self.order = name, "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


class _Array:
    """Stands in for numpy's array while it is read."""

    values: np.ndarray | None = None

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, bytes]) -> None:
        _, shape, dtype, by_columns, data = state
        values = np.frombuffer(data, np.dtype(dtype.name).newbyteorder(dtype.order))
        self.values = values.reshape(shape, order="F" if by_columns else "C").copy()


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickling can call whatever a file names. This one knows only what an array is rebuilt from.

    Not even that is numpy's own: `ndarray` called with a buffer, or a dtype with a state of its own, takes bytes of the
    file for addresses.
    """

    def find_class(self, module: str, name: str) -> Any:
        known = {"numpy.ndarray": "ndarray", "numpy.dtype": _Dtype}
        known |= {f"numpy.{core}.multiarray._reconstruct": lambda *_: _Array() for core in ("core", "_core")}
        if (asked := f"{module}.{name}") not in known:
            raise pickle.UnpicklingError(f"it asks for {asked}")
        return known[asked]
