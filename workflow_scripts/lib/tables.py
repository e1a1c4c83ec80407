"""Tables on disk, .parquet or else CSV, and what to tell of a file that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError
from .files import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table, in CSV only empty fields as missing; UserError for a missing or damaged file."""
    import pandas as pd

    try:
        if Path(path).suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise UserError(f"cannot read {path} ({error}); {how_to_remake(path)}") from error


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table without its index, atomically."""
    with atomic_write(path) as temporary:
        if temporary.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)


def how_to_remake(path: str | Path) -> str:
    """The cure for a file that is missing, damaged or stale."""
    return f"make it anew: rm -f '{path}' and run the same command of Snakemake"


def image_table(index: pd.DataFrame, columns: dict[str, Tensor]) -> pd.DataFrame:
    """key, prompt_id, k of a collection's index, then one column per tensor (N,). UserError when the counts differ."""
    for name, values in columns.items():
        if values.shape != (len(index),):
            raise UserError(
                f"'{name}' has shape {tuple(values.shape)} for {len(index)} images: the features are of other images"
            )
    return index[["key", "prompt_id", "k"]].assign(**{name: values.numpy() for name, values in columns.items()})
