"""Feature files: the vectors of one part of a collection by one encoder, tied to both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..files import atomic_write, sha256


def write_features(path: str | Path, features: Tensor, *, encoder: str, fingerprint: str, images: str | Path) -> None:
    """Write features (N, d) as float32 with the encoder's name and the sha256 of the part file `images`; atomic."""
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


@dataclass(frozen=True)
class FeatureSet:
    """Features (N, d) of several files, in their order, and the metadata of each file by its path."""

    features: Tensor
    abouts: dict[str, dict[str, str]]

    @classmethod
    def read(cls, paths: Sequence[str | Path], images: Sequence[str | Path] = ()) -> FeatureSet:
        """Read whole files or, where their part files `images` are given, the samples k = 0 only.

        No paths make an empty set. UserError for unequal numbers of both, and for what `read_features` refuses.
        """
        if images and len(images) != len(paths):
            raise UserError(f"{len(paths)} features files for {len(images)} part files: give them in pairs")
        features, abouts = [torch.empty(0, 0)] if not paths else [], {}
        for path, part in zip(paths, images or [None] * len(paths), strict=True):
            one, abouts[str(path)] = read_features(path, part)
            features.append(one if part is None else one[_is_first_sample(part)])
        return cls(torch.cat(features), abouts)

    def __len__(self) -> int:
        return len(self.features)

    def first(self, count: int | None, what: str) -> FeatureSet:
        """The first `count` features, all for None; UserError when there are fewer."""
        if count is not None and len(self) < count:
            raise UserError(f"{count} {what} asked for, but their {len(self.abouts)} features files hold {len(self)}")
        return FeatureSet(self.features[:count], self.abouts)


def common_encoder(abouts: dict[str, dict[str, str]]) -> str:
    """The encoder that all features files (path -> metadata) come from; UserError naming two files that differ."""
    (first, about), *others = abouts.items()
    for path, other in others:
        if other["encoder"] != about["encoder"]:
            raise UserError(
                f"{first} was made by encoder '{about['encoder']}', {path} by '{other['encoder']}'; "
                f"use one encoder for all"
            )
    return about["encoder"]


def _is_first_sample(part: str | Path) -> Tensor:
    """Whether k = 0, for each image of a part file (N,)."""
    from ..shards import Part

    return torch.from_numpy((Part(part).index()["k"] == 0).to_numpy(copy=True))
