"""Feature files: the vectors of one part of a collection by one encoder, tied to both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import UserError
from .files import atomic_write, sha256
from .tables import how_to_remake

if TYPE_CHECKING:
    from torch import Tensor


def write_features(path: str | Path, features: Tensor, *, encoder: str, fingerprint: str, images: str | Path) -> None:
    """Write features (N, d) as float32 with the encoder's name and the sha256 of the part file `images`; atomic."""
    from safetensors.numpy import save_file

    about = {"count": str(len(features)), "encoder": encoder, "fingerprint": fingerprint, "images": sha256(images)}
    with atomic_write(path) as temporary:
        save_file({"features": features.float().cpu().contiguous().numpy()}, temporary, metadata=about)


def read_features(
    path: str | Path, images: str | Path | None = None, framework: str = "np"
) -> tuple[np.ndarray | Tensor, dict[str, str]]:
    """Features (N, d) float32, an array or with framework "pt" a tensor, and what `write_features` says of them.

    UserError for a damaged file, for features that are not finite and, when the part file `images` is given, for
    features of other images than these.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            features, about = file.get_tensor("features"), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read features {path} ({error}); {how_to_remake(path)}") from error
    if not np.isfinite(np.asarray(features)).all():
        raise UserError(f"{path} holds NaN or infinite features; {how_to_remake(path)}")
    if images is not None and about.get("images") != sha256(images):
        raise UserError(f"{path} was made of other images than {images} holds now; {how_to_remake(path)}")
    return features, about
