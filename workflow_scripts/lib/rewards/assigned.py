"""Rewards that need no head: a scorer's, or numbers drawn at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UserError
from ..seeds import seed_of

if TYPE_CHECKING:
    import pandas as pd


def rewards_from_scores(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    """key, prompt_id, k, reward, logit of a table of scores: both are the score, which is what images are ranked by.

    UserError for an unknown column and for scores that are missing.
    """
    known = [name for name in scores.columns if name not in ("key", "prompt_id", "k")]
    if column not in known:
        raise UserError(f"the scores have no column '{column}'; known: {', '.join(known)}")
    if missing := int(scores[column].isna().sum()):
        raise UserError(f"{missing} images have no '{column}': it cannot rank them; choose another column")
    return scores[["key", "prompt_id", "k"]].assign(reward=scores[column], logit=scores[column])


def random_rewards(index: pd.DataFrame) -> pd.DataFrame:
    """The same columns for a collection's index, uniform in [0, 1).

    An image's number derives from its own seed, and so differs between replicates, prompt sets and rounds.
    """
    drawn = [seed_of("random reward", int(seed)) / 2**63 for seed in index["seed"]]
    return index[["key", "prompt_id", "k"]].assign(reward=drawn, logit=drawn)
