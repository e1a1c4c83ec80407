"""What a training needs to continue after a kill as if nothing had happened: weights, optimiser, random states."""

from __future__ import annotations

import json
import logging
import random
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..files import atomic_write

if TYPE_CHECKING:
    import torch

KEPT = 2
log = logging.getLogger(__name__)


class Stateful(Protocol):
    """An optimiser, a learning rate schedule, a gradient scaler."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@dataclass(frozen=True)
class TrainingState:
    """A saved state: `tensors` (name -> tensor, on the CPU) and `extra` are the caller's; `restore` does the rest."""

    step: int
    tensors: dict[str, torch.Tensor]
    extra: dict[str, Any]
    stateful: dict[str, dict[str, Any]]
    random_states: dict[str, Any]

    def restore(self, **stateful: Stateful) -> None:
        """Load optimisers and the like by their names in `save_state`, then all random states. KeyError: not saved."""
        for name, target in stateful.items():
            target.load_state_dict(self.stateful[name])
        _set_random_states(self.random_states)


def save_state(
    folder: str | Path,
    step: int,
    *,
    tensors: Mapping[str, torch.Tensor],
    fingerprint: str,
    extra: Mapping[str, Any] | None = None,
    **stateful: Stateful,
) -> Path:
    """Save the state after `step` atomically and keep the newest two of this fingerprint; all others are removed.

    `tensors` are weights or LoRA factors, `stateful` whatever has a state_dict (optimizer=…, scheduler=…), `extra` any
    JSON-able dict. The random states of python, numpy and torch are saved as well.
    """
    import torch

    content = {
        "step": step,
        "tensors": {name: tensor.detach() for name, tensor in tensors.items()},
        "extra": json.dumps(dict(extra or {})),
        "stateful": {name: source.state_dict() for name, source in stateful.items()},
        "random_states": _random_states(),
    }
    path = Path(folder) / f"step{step:08d}.{fingerprint}.pt"
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
    kept = _saved(path.parent, fingerprint)[:KEPT]
    for stale in {*path.parent.glob("step*.pt"), *path.parent.glob(".step*.tmp.pt")} - set(kept):
        stale.unlink()
    return path


def load_state(path: Path) -> TrainingState:
    """A saved state, its tensors mapped from the file."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return TrainingState(**{**content, "extra": json.loads(content["extra"])})


def newest_state(folder: Path, fingerprint: str) -> Path | None:
    """The newest undamaged state of this fingerprint, or None; what is passed over is logged as a warning."""
    for path in _saved(folder, fingerprint):
        if _is_whole(path):
            return path
        log.warning("%s is damaged: going on from the state before it", path)
    others = [path for path in folder.glob("step*.pt") if path not in _saved(folder, fingerprint)]
    if others:
        log.warning("%s holds a state made from other settings or data: starting from the beginning", folder)
    return None


def _saved(folder: Path, fingerprint: str) -> list[Path]:
    """States of a fingerprint, newest first."""
    return sorted((path for path in folder.glob("step*.pt") if path.name.split(".")[1] == fingerprint), reverse=True)


def _is_whole(path: Path) -> bool:
    """torch.save writes a checksum of every tensor, torch.load does not look at it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:
        return False


def _random_states() -> dict[str, Any]:
    import numpy as np
    import torch

    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(states: Mapping[str, Any]) -> None:
    import numpy as np
    import torch

    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    for device in range(min(len(states["cuda"]), torch.cuda.device_count())):
        torch.cuda.set_rng_state(states["cuda"][device], device)
