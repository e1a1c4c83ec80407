"""Best and worst of K samples per prompt (arXiv 2506.13846, Sec. 3.3): selections, and pairs for Diffusion-DPO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..metrics.selection import candidates, rank_best, rank_worst

if TYPE_CHECKING:
    import pandas as pd

PAIR_COLUMNS = ["prompt_id", "prompt", "best_key", "worst_key", "best_reward", "worst_reward"]


def best_worst_pairs(rewards: pd.DataFrame, prompts: pd.DataFrame, k: int, pairs: int = 1) -> pd.DataFrame:
    """Table of PAIR_COLUMNS with `pairs` rows per prompt: the i-th best against the i-th worst of the first K samples.

    `rewards`: key, prompt_id, k, reward, logit (+ vote*); `prompts`: prompt_id, prompt. One pair per prompt is the
    paper's image-quality setting, four its safety setting. No image is both best and worst. UserError if 2 · pairs > K.
    """
    if 2 * pairs > k:
        raise UserError(f"{pairs} best and {pairs} worst images need K ≥ {2 * pairs} candidates, not K = {k}")
    table = candidates(rewards, k)
    table = table.assign(best=rank_best(table), worst=rank_worst(table))
    best = _first(table, "best", pairs)
    worst = _first(table[~table["key"].isin(best["key"])], "worst", pairs)
    merged = best.merge(worst, on=["prompt_id", "place"], suffixes=("_best", "_worst"))
    merged = merged.rename(
        columns={f"{c}_{side}": f"{side}_{c}" for c in ("key", "reward") for side in ("best", "worst")}
    )
    return _with_prompts(merged, prompts)[PAIR_COLUMNS]


def _first(table: pd.DataFrame, rank: str, n: int) -> pd.DataFrame:
    """The n rows of every prompt that are lowest in column `rank`: prompt_id, place (0 … n-1), key, reward."""
    ordered = table.sort_values(["prompt_id", rank])
    ordered["place"] = ordered.groupby("prompt_id").cumcount()
    return ordered.loc[ordered["place"] < n, ["prompt_id", "place", "key", "reward"]]


def _with_prompts(table: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    unknown = set(table["prompt_id"]) - set(prompts["prompt_id"])
    if unknown:
        raise UserError(f"{len(unknown)} prompts of the rewards (first: {min(unknown)}) are not in the prompts file")
    return table.merge(prompts[["prompt_id", "prompt"]], on="prompt_id", how="left", validate="many_to_one")
