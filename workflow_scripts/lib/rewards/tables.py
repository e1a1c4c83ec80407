"""Parquet tables with a row per image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


def image_table(index: pd.DataFrame, columns: dict[str, Tensor]) -> pd.DataFrame:
    """key, prompt_id, k of a collection's index, then one column per tensor (N,). UserError when the counts differ."""
    for name, values in columns.items():
        if values.shape != (len(index),):
            raise UserError(
                f"'{name}' has shape {tuple(values.shape)} for {len(index)} images: the features are of other images"
            )
    return index[["key", "prompt_id", "k"]].assign(**{name: values.numpy() for name, values in columns.items()})


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a Parquet file atomically."""
    with atomic_write(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file; a missing or damaged one is a UserError with the command that makes it anew."""
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"cannot read {path} ({error}); make it anew: rm -f '{path}' && snakemake '{path}'") from error
