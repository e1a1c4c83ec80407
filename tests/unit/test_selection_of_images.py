"""Which image of a prompt counts: first, best of K, rank r of K."""

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.selection import Selection, choose, parse


def pool(rewards: dict[int, list[float]]) -> pd.DataFrame:
    """A rewards table with the given rewards of samples 0, 1, … of each prompt."""
    rows = [(f"{p:06d}-{k:02d}", p, k, value) for p, values in rewards.items() for k, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["key", "prompt_id", "k", "reward"])


REWARDS = pool({7: [0.1, 0.9, 0.5, 0.95], 2: [0.8, 0.3, 0.4, 0.1]})


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("first", Selection(None, 1, 1)),
        ("ganrm.best10", Selection("ganrm", 1, 10)),
        ("ganrm_n50.rank3of10", Selection("ganrm_n50", 3, 10)),
    ],
)
def test_names_are_parsed(name, parsed):
    assert parse(name) == parsed


@pytest.mark.parametrize("name", ["last", "best10", "ganrm.best", "ganrm.rank3", "ganrm.rank11of10", "ganrm.rank0of10"])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=name):
        parse(name)


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        ("first", ["000002-00", "000007-00"]),
        ("ganrm.best1", ["000002-00", "000007-00"]),
        ("ganrm.best3", ["000002-00", "000007-01"]),
        ("ganrm.best4", ["000002-00", "000007-03"]),
        ("ganrm.rank1of4", ["000002-00", "000007-03"]),
        ("ganrm.rank2of4", ["000002-02", "000007-01"]),
        ("ganrm.rank4of4", ["000002-03", "000007-00"]),
        ("ganrm.rank3of3", ["000002-01", "000007-00"]),
    ],
)
def test_one_key_per_prompt_in_the_order_of_prompts(selection, keys):
    assert choose(REWARDS, selection) == keys
    assert choose(REWARDS.sample(frac=1, random_state=0), selection) == keys, "whatever the order of the rows"


def test_ranks_of_a_random_pool_are_those_of_sorting():
    rewards = np.random.default_rng(0).random((20, 10)).round(1)  # with ties
    table = pool(dict(enumerate(rewards.tolist())))
    for rank in range(1, 11):
        expected = [
            f"{p:06d}-{sorted(range(10), key=lambda k: (-row[k], k))[rank - 1]:02d}" for p, row in enumerate(rewards)
        ]
        assert choose(table, f"r.rank{rank}of10") == expected


def test_first_needs_no_rewards():
    assert choose(REWARDS.drop(columns="reward"), "first") == ["000002-00", "000007-00"]
    with pytest.raises(UserError, match="reward"):
        choose(REWARDS.drop(columns="reward"), "ganrm.best2")


def test_saturated_rewards_are_ordered_by_their_logits():
    table = pool({1: [1.0, 1.0, 1.0]}).assign(logit=[40.0, 60.0, 50.0])
    assert choose(table, "ganrm.best3") == ["000001-01"]


def test_more_candidates_than_samples_are_refused():
    with pytest.raises(UserError, match="K = 5"):
        choose(REWARDS, "ganrm.best5")
    with pytest.raises(UserError, match="prompt 2"):
        choose(REWARDS[REWARDS["key"] != "000002-01"], "ganrm.best4")


def test_a_missing_reward_is_refused():
    table = REWARDS.assign(reward=REWARDS["reward"].where(REWARDS["key"] != "000007-02"))
    with pytest.raises(UserError, match="000007-02"):
        choose(table, "ganrm.best4")
    assert choose(table, "ganrm.best2") == ["000002-00", "000007-01"], "it is none of the first two"
