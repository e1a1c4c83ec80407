"""Lets `import torchvision` succeed where torch was built without a GPU.

The published torchvision wheels link CUDA libraries. On a CPU-only torch their extension does not load, and the import
stops at "operator torchvision::nms does not exist", which takes timm, peft, open_clip, clean-fid and the models of
transformers down with it. Declaring the two operators that torchvision describes at import time is enough: transforms,
models and `roi_align` then work; `ops.nms` and `io.decode_*` remain unavailable.

Nothing happens, torch is not even imported, until something imports torchvision.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

OPERATORS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


class TorchvisionHook:
    """Meta-path finder that declares the missing operators just before torchvision's own code runs."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The ordinary spec of torchvision with a prepared loader; None (not ours) for every other module."""
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def prepare_and_execute(module: ModuleType) -> None:
                declare_missing_operators(Path(next(iter(spec.submodule_search_locations or ["."]))))
                execute(module)

            spec.loader.exec_module = prepare_and_execute
        return spec


def declare_missing_operators(folder: Path) -> None:
    """Declare torchvision's operators unless torch has a GPU backend or the extension in `folder` loads."""
    import torch

    if torch.version.cuda or torch.version.hip or _extension_loads(folder):
        return
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            torch.library.define(f"torchvision::{name}", schema)


def _extension_loads(folder: Path) -> bool:
    import torch

    for library in sorted([*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]):
        try:
            torch.ops.load_library(str(library))
            return True
        except (OSError, ImportError):
            continue
    return False


def install() -> None:
    """Put the hook in front of Python's own finders, once."""
    if not any(isinstance(finder, TorchvisionHook) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionHook())
