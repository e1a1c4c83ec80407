"""What metrics are made from: score tables, and feature files with the keys of their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    import pandas as pd


class FeatureSet(NamedTuple):
    """Features (N, d) of images by key, and those of the reference images (M, d)."""

    keys: Sequence[str]
    features: np.ndarray
    reference: np.ndarray


def read_table(paths: Sequence[str | Path], made_by: str) -> "pd.DataFrame":
    """The rows of one or several Parquet parts; UserError naming a file that cannot be read, or a repeated key."""
    import pandas as pd

    parts = []
    for path in paths:
        try:
            parts.append(pd.read_parquet(path))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path} ({error}); delete it and remake it with {made_by}") from error
    table = pd.concat(parts, ignore_index=True)
    repeated = table["key"][table["key"].duplicated()]
    if len(repeated):
        raise UserError(
            f"image '{repeated.iloc[0]}' is listed twice in {', '.join(map(str, paths))}; give each part once"
        )
    return table


def read_scores(paths: Sequence[str | Path], column: str) -> "pd.Series":
    """One column of score tables by key; NaN says that the metric is not defined for an image.

    UserError for an unknown column or an infinite value.
    """
    table = read_table(paths, "score_images")
    if column not in table:
        raise UserError(f"{paths[0]} has no column '{column}'; it has: {', '.join(table.columns)}")
    values = table.set_index("key")[column].astype(np.float64)
    infinite = values.index[np.isinf(values)]
    if len(infinite):
        raise UserError(
            f"'{column}' of image '{infinite[0]}' is infinite in {paths[0]}; find out why before it enters a mean"
        )
    return values


def read_clip_scores(path: str | Path) -> "pd.DataFrame":
    """Scores of clips by VBench's dimensions, as evaluate_vbench writes them; UserError when they cannot be read."""
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); delete it and remake it with evaluate_vbench") from error


def read_features(paths: Sequence[str | Path], images: Sequence[str | Path] | None = None) -> np.ndarray:
    """Features (N, d), float32, of all parts in order; UserError when they are not of `images`, the part files."""
    if images is not None and len(images) != len(paths):
        raise UserError(f"{len(paths)} feature files but {len(images)} parts of images; give both in the same order")
    parts = [_read_part(path) for path in paths]
    for path, (_, about), part in zip(paths, parts, images or (), strict=False):
        _require_same_images(path, about, part)
    return np.concatenate([features for features, _ in parts])


def _read_part(path: str | Path) -> tuple[np.ndarray, dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            features, about = file.get_tensor("features"), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read features {path} ({error}); delete it and remake it with encode_images") from error
    if not np.isfinite(features).all():
        raise UserError(f"{path} holds NaN or infinite features; delete it and remake it with encode_images")
    return features, about


def _require_same_images(path: str | Path, about: dict[str, str], images: str | Path) -> None:
    from ..files import sha256

    if about.get("images") != sha256(images):
        raise UserError(
            f"{path} was made of other images than {images} holds now; delete it and remake it with encode_images"
        )
