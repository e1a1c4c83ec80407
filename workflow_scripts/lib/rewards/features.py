"""Features that reward heads are trained on: several feature files of one encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..features import read_features


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
            one, abouts[str(path)] = read_features(path, part, "pt")
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
