"""Selections: which image of a prompt counts."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import UserError
from ..rewards.selection import candidates, rank_best

if TYPE_CHECKING:
    import pandas as pd

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


def choose(rewards: "pd.DataFrame", selection: str) -> list[str]:
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


def _ranked_by(pool: "pd.DataFrame", selection: str) -> "pd.DataFrame":
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
