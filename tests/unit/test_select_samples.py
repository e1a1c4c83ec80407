"""Best and worst of K: pure selection and its command line."""

import pandas as pd
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.selection import rank_best, rank_worst
from workflow_scripts.lib.rewards.selection import PAIR_COLUMNS, best_worst_pairs
from workflow_scripts.select_samples import main as select_samples


def pool(logits: dict[int, list[float]], **votes: list[float]) -> pd.DataFrame:
    """Rewards of prompts with the given logits of samples 0, 1, …"""
    rows = [
        {"key": f"{p:06d}-{k:02d}", "prompt_id": p, "k": k, "reward": logit / 10, "logit": logit}
        for p, values in logits.items()
        for k, logit in enumerate(values)
    ]
    return pd.DataFrame(rows).assign(**votes)


PROMPTS = pd.DataFrame({"prompt_id": [1, 2], "prompt": ["a frog", "two cats"], "scene": ["", ""]})


def test_best_and_worst_of_each_prompt():
    pairs = best_worst_pairs(pool({2: [1, 3, 2], 1: [5, 4, 9]}), PROMPTS, k=3)
    assert list(pairs.columns) == PAIR_COLUMNS
    assert pairs.values.tolist() == [
        [1, "a frog", "000001-02", "000001-01", 0.9, 0.4],
        [2, "two cats", "000002-01", "000002-00", 0.3, 0.1],
    ]


def test_only_the_first_k_samples_count():
    pairs = best_worst_pairs(pool({1: [5, 4, 9]}), PROMPTS, k=2)
    assert pairs[["best_key", "worst_key"]].values.tolist() == [["000001-00", "000001-01"]]


def test_ith_best_goes_with_ith_worst():
    pairs = best_worst_pairs(pool({1: [3, 6, 1, 5, 2, 4]}), PROMPTS, k=6, pairs=3)
    keys = [(best[-1], worst[-1]) for best, worst in zip(pairs["best_key"], pairs["worst_key"], strict=True)]
    assert keys == [("1", "2"), ("3", "4"), ("5", "0")]


def test_ties_are_broken_by_key_and_no_image_is_both():
    pairs = best_worst_pairs(pool({1: [2, 2, 2]}), PROMPTS, k=3)
    assert pairs[["best_key", "worst_key"]].values.tolist() == [["000001-00", "000001-02"]]


def test_ranking_uses_the_logit_where_the_score_saturates():
    table = pool({1: [50, 60]}).assign(reward=1.0)
    assert best_worst_pairs(table, PROMPTS, k=2)["best_key"].tolist() == ["000001-01"]


def test_ranks_of_all_candidates():
    table = pool({1: [3, 9, 6], 2: [1, 2, 3]})
    assert rank_best(table).tolist() == [2, 0, 1, 2, 1, 0]
    assert rank_worst(table).tolist() == [0, 2, 1, 0, 1, 2]


def test_checkpoints_vote_and_the_mean_score_breaks_ties():
    table = pool({1: [9, 1, 5]}, vote0=[1, 7, 3], vote1=[2, 8, 3], vote2=[9, 0, 1])
    pairs = best_worst_pairs(table, PROMPTS, k=3)
    assert pairs[["best_key", "worst_key"]].values.tolist() == [["000001-01", "000001-00"]]
    tied = pool({1: [2, 1, 5]}, vote0=[3, 1, 2], vote1=[2, 3, 1])
    assert best_worst_pairs(tied, PROMPTS, k=3)["best_key"].tolist() == ["000001-00"]


def test_an_image_with_most_votes_for_both_places_is_the_best_only():
    table = pool({1: [0, 1, 2]}, vote0=[9, 1, 2], vote1=[9, 1, 2], vote2=[-9, 1, 2], vote3=[-9, 1, 2])
    pairs = best_worst_pairs(table, PROMPTS, k=3)
    assert pairs["best_key"].tolist() == ["000001-02"]
    table = table.assign(vote3=[9, 1, 2])
    pairs = best_worst_pairs(table, PROMPTS, k=3)
    assert pairs[["best_key", "worst_key"]].values.tolist() == [["000001-00", "000001-01"]]


def test_k_larger_than_the_pool_is_refused_with_both_numbers():
    with pytest.raises(UserError, match="K = 4.*prompt 2 has 3"):
        best_worst_pairs(pool({1: [1, 2, 3, 4], 2: [1, 2, 3]}), PROMPTS, k=4)


def test_more_pairs_than_candidates_are_refused():
    with pytest.raises(UserError, match="K ≥ 6.*K = 5"):
        best_worst_pairs(pool({1: [1, 2, 3, 4, 5]}), PROMPTS, k=5, pairs=3)


def test_unknown_prompts_are_refused():
    with pytest.raises(UserError, match="1 prompts.*7"):
        best_worst_pairs(pool({7: [1, 2]}), PROMPTS, k=2)


def test_command_line(tmp_path):
    pool({1: [5, 4, 9], 2: [1, 3, 2]}).to_parquet(tmp_path / "rewards.parquet")
    PROMPTS.to_parquet(tmp_path / "prompts.parquet")
    out = tmp_path / "selections" / "train.k2.parquet"
    paths = ["--rewards", str(tmp_path / "rewards.parquet"), "--prompts", str(tmp_path / "prompts.parquet")]
    select_samples([*paths, "--candidates", "2", "--out", str(out)])
    assert pd.read_parquet(out)["best_key"].tolist() == ["000001-00", "000002-01"]
