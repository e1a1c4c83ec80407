"""What metrics are made from: score tables, and feature files with the keys of their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UserError
from ..features import read_features
from ..tables import read_table

if TYPE_CHECKING:
    import pandas as pd


class ComparedFeatures(NamedTuple):
    """Features (N, d) of images by key, and those of the reference images (M, d)."""

    keys: Sequence[str]
    features: np.ndarray
    reference: np.ndarray


def read_table_parts(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of one or several parts of a table; UserError for an unreadable file, or a repeated key."""
    import pandas as pd

    table = pd.concat(map(read_table, paths), ignore_index=True)
    repeated = table["key"][table["key"].duplicated()]
    if len(repeated):
        raise UserError(
            f"image '{repeated.iloc[0]}' is listed twice in {', '.join(map(str, paths))}; give each part once"
        )
    return table


def read_scores(paths: Sequence[str | Path], column: str) -> pd.Series:
    """One column of score tables by key; NaN says that the metric is not defined for an image.

    UserError for an unknown column or an infinite value.
    """
    table = read_table_parts(paths)
    if column not in table:
        raise UserError(f"{paths[0]} has no column '{column}'; it has: {', '.join(table.columns)}")
    values = table.set_index("key")[column].astype(np.float64)
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise UserError(
            f"'{column}' of image '{infinite[0]}' is infinite in {paths[0]}; find out why before it enters a mean"
        )
    return values


def read_feature_parts(paths: Sequence[str | Path], images: Sequence[str | Path] | None = None) -> np.ndarray:
    """Features (N, d), float32, of all parts in order; UserError when they are not of `images`, the part files."""
    if images is not None and len(images) != len(paths):
        raise UserError(f"{len(paths)} feature files but {len(images)} parts of images; give both in the same order")
    parts = images or [None] * len(paths)
    return np.concatenate([read_features(path, part)[0] for path, part in zip(paths, parts, strict=True)])
