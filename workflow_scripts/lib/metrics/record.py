"""Metrics files: the JSON of one policy under one selection, and the bootstrap beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..files import atomic_write, write_json

if TYPE_CHECKING:
    import pandas as pd


def write_metrics(
    path: str | Path,
    policy: str,
    selection: str,
    *,
    num_prompts: int,
    metrics: Mapping[str, Mapping[str, float]],
    columns: "pd.DataFrame",
) -> None:
    """Write the metrics file `path` (.json) after the bootstrap beside it (a row per resample, a column per metric)."""
    with atomic_write(bootstrap_path(path)) as temporary:
        columns.to_parquet(temporary, index=False)
    write_json(path, {"policy": policy, "selection": selection, "n": num_prompts, "metrics": metrics})


def bootstrap_path(path: str | Path) -> Path:
    """The bootstrap beside a metrics file: {selection}.json -> {selection}.bootstrap.parquet."""
    return Path(path).with_suffix(".bootstrap.parquet")


def read_bootstrap(path: str | Path) -> Mapping[str, np.ndarray]:
    """Bootstrap columns (R,) by metric, of the metrics file `path`; UserError when it cannot be read."""
    import pandas as pd

    try:
        table = pd.read_parquet(bootstrap_path(path))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {bootstrap_path(path)} ({error}); delete {path} and remake it with compute_metrics"
        ) from error
    return {name: table[name].to_numpy() for name in table}
