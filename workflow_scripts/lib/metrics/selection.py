"""Selections: which image of a prompt counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from ..shards import Collection

PATTERN = re.compile(r"(?P<reward>.+)\.(?:best(?P<best>\d+)|rank(?P<rank>\d+)of(?P<pool>\d+))")
FORMS = "first, {reward}.best{K}, {reward}.rank{r}of{K}"


@dataclass(frozen=True)
class Selection:
    """The image of a rank (1 = highest reward) among the first `pool` samples of a prompt; `reward` None: k = 0."""

    reward: str | None
    rank: int
    pool: int


def parse(name: str) -> Selection:
    """Parse `first`, `{reward}.best{K}` or `{reward}.rank{r}of{K}`; UserError for anything else."""
    if name == "first":
        return Selection(None, 1, 1)
    match = PATTERN.fullmatch(name)
    if match is None:
        raise UserError(f"selection '{name}' is not one of: {FORMS}")
    pool, rank = int(match["best"] or match["pool"]), int(match["rank"] or 1)
    if not 1 <= rank <= pool:
        raise UserError(f"selection '{name}': the rank must lie between 1 and {pool}")
    return Selection(match["reward"], rank, pool)


def choose(rewards: pd.DataFrame, selection: str) -> list[str]:
    """Keys of the selected images, one per prompt in the order of prompt_id.

    `rewards` has key, prompt_id, k and, except for `first`, reward (and logit, vote* as score_rewards writes them). The
    order is the one by which training pairs are chosen; equal rewards are ordered by key. UserError when a prompt has
    fewer than K samples or a reward is missing.
    """
    wanted = parse(selection)
    pool = candidates(rewards, wanted.pool)
    if wanted.reward is not None:
        pool = pool[rank_best(_ranked_by(pool, selection)) == wanted.rank - 1]
    return pool.sort_values("prompt_id")["key"].tolist()


def selected_keys(selection: str, collection: Collection, rewards: pd.DataFrame | None, show: int) -> list[str]:
    """Keys of the selected images of `show` prompts, spread evenly over a collection, in the order of the prompts."""
    pool = collection.index() if rewards is None else rewards
    return choose(pool[pool["prompt_id"].isin(spread(pool["prompt_id"], show))], selection)


def spread(prompt_ids: Sequence[int], count: int) -> list[int]:
    """`count` prompts spread evenly over all, ascending: a fixed rule, so that nobody picks the pretty ones."""
    distinct = sorted(set(map(int, prompt_ids)))
    if count > len(distinct):
        raise UserError(f"{count} prompts asked for, the collection has {len(distinct)}")
    return [distinct[i * len(distinct) // count] for i in range(count)]


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


def _ranked_by(pool: pd.DataFrame, selection: str) -> pd.DataFrame:
    """The pool with the column that ranks: the logit, which does not saturate, or else the reward."""
    if "reward" not in pool:
        raise UserError(
            f"selection '{selection}' needs a table with the column 'reward' (score_rewards makes it), "
            f"got {', '.join(pool)}"
        )
    pool = pool if "logit" in pool else pool.assign(logit=pool["reward"])
    missing = pool.loc[pool["logit"].isna(), "key"]
    if len(missing):
        raise UserError(f"selection '{selection}': image '{missing.iloc[0]}' has no reward; score it again")
    return pool


def _rank(table: pd.DataFrame, votes: pd.Series, ascending: list[bool]) -> pd.Series:
    order = table.assign(votes=votes).sort_values(["votes", "logit", "key"], ascending=ascending)
    return order.groupby("prompt_id").cumcount().reindex(table.index)


def _votes(table: pd.DataFrame, best: bool) -> pd.Series:
    """Number of heads that put a row highest (or lowest) in its prompt; a head's own ties go to the mean score."""
    import pandas as pd

    votes = pd.Series(0, index=table.index)
    for column in (name for name in table.columns if name.startswith("vote")):
        ordered = table.sort_values([column, "logit", "key"], ascending=[not best, not best, best])
        votes[ordered.groupby("prompt_id").head(1).index] += 1
    return votes
