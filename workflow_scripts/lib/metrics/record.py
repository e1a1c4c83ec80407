"""Metrics files: the JSON of one policy under one selection, and the bootstrap beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import write_json
from ..tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd


def write_metrics(
    path: str | Path,
    policy: str,
    selection: str,
    *,
    num_prompts: int,
    metrics: Mapping[str, Mapping[str, float]],
    columns: pd.DataFrame,
) -> None:
    """Write the metrics file `path` (.json) after the bootstrap beside it (a row per resample, a column per metric)."""
    write_table(bootstrap_path(path), columns)
    write_json(path, {"policy": policy, "selection": selection, "n": num_prompts, "metrics": metrics})


def bootstrap_path(path: str | Path) -> Path:
    """The bootstrap beside a metrics file: {selection}.json -> {selection}.bootstrap.parquet."""
    return Path(path).with_suffix(".bootstrap.parquet")


def read_bootstrap(path: str | Path) -> Mapping[str, np.ndarray]:
    """Bootstrap columns (R,) by metric, of the metrics file `path`; UserError when it cannot be read."""
    table = read_table(bootstrap_path(path))
    return {name: table[name].to_numpy() for name in table}
