"""Best and worst of K samples per prompt (arXiv 2506.13846, Sec. 3.3): selections, and pairs for Diffusion-DPO."""

from __future__ import annotations

import pandas as pd

from ..errors import UserError

PAIR_COLUMNS = ["prompt_id", "prompt", "best_key", "worst_key", "best_reward", "worst_reward"]


def candidates(rewards: pd.DataFrame, k: int) -> pd.DataFrame:
    """The rows of samples 0 … k-1 of every prompt (the first K of one pool serve every K).

    `rewards` has key, prompt_id, k, logit. UserError when a prompt has fewer than K of them.
    """
    chosen = rewards[rewards["k"] < k]
    counts = chosen.groupby("prompt_id").size().reindex(rewards["prompt_id"].unique(), fill_value=0)
    if counts.min() < k:
        raise UserError(
            f"K = {k} candidates asked for, but prompt {counts.idxmin()} has {counts.min()} in the pool; "
            f"lower K or sample more images per prompt"
        )
    return chosen


def rank_best(table: pd.DataFrame) -> pd.Series:
    """Rank of each row within its prompt, 0 = best: votes for the top-1 first, then the logit, then the key.

    Votes are cast where the table has `vote*` columns: each such head has one, for its highest sample of the prompt.
    """
    return _rank(table, _votes(table, best=True), [False, False, True])


def rank_worst(table: pd.DataFrame) -> pd.Series:
    """Rank of each row within its prompt, 0 = worst: the reverse of `rank_best`, with votes for the lowest sample."""
    return _rank(table, _votes(table, best=False), [False, True, False])


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


def _rank(table: pd.DataFrame, votes: pd.Series, ascending: list[bool]) -> pd.Series:
    order = table.assign(votes=votes).sort_values(["votes", "logit", "key"], ascending=ascending)
    return order.groupby("prompt_id").cumcount().reindex(table.index)


def _votes(table: pd.DataFrame, best: bool) -> pd.Series:
    """Number of heads that put a row highest (or lowest) in its prompt; a head's own ties go to the mean score."""
    votes = pd.Series(0, index=table.index)
    for column in (name for name in table.columns if name.startswith("vote")):
        ordered = table.sort_values([column, "logit", "key"], ascending=[not best, not best, best])
        votes[ordered.groupby("prompt_id").head(1).index] += 1
    return votes


def _with_prompts(table: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    unknown = set(table["prompt_id"]) - set(prompts["prompt_id"])
    if unknown:
        raise UserError(f"{len(unknown)} prompts of the rewards (first: {min(unknown)}) are not in the prompts file")
    return table.merge(prompts[["prompt_id", "prompt"]], on="prompt_id", how="left", validate="many_to_one")
