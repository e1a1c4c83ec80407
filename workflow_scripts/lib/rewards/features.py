"""Feature files: the vectors of one part of a collection by one encoder, tied to both."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import atomic_write, sha256


def write_features(path: str | Path, features: Tensor, *, encoder: str, fingerprint: str, images: str | Path) -> None:
    """Write features (N, d) as float32, with the encoder's name and the sha256 of the part file `images`, atomically."""
    from safetensors.torch import save_file

    about = {"count": str(len(features)), "encoder": encoder, "fingerprint": fingerprint, "images": sha256(images)}
    with atomic_write(path) as temporary:
        save_file({"features": features.float().cpu().contiguous()}, temporary, metadata=about)


def read_features(path: str | Path, images: str | Path | None = None) -> tuple[Tensor, dict[str, str]]:
    """Features (N, d) float32 and their metadata (count, encoder, fingerprint, images).

    UserError for a damaged file and, when the part file `images` is given, for features of other images than these.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            features, about = file.get_tensor("features"), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read features {path} ({error}); delete it and remake it with encode_images") from error
    if images is not None and about.get("images") != sha256(images):
        raise UserError(f"{path} is stale: {images} has changed since; delete it and remake it with encode_images")
    return features, about


def common_encoder(abouts: dict[str, dict[str, str]]) -> str:
    """The encoder that all features files (path -> metadata) come from; UserError naming two files that differ."""
    (first, about), *others = abouts.items()
    for path, other in others:
        if other["encoder"] != about["encoder"]:
            raise UserError(
                f"{first} was made by encoder '{about['encoder']}', {path} by '{other['encoder']}'; use one encoder for all"
            )
    return about["encoder"]
