"""Diagnostics of a reward: shares of variance, coverage of the proxies, agreement, and the command around them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.features import write_features
from workflow_scripts.lib.metrics.coverage import precision_recall
from workflow_scripts.lib.metrics.validity import content_share, pairwise_accuracy
from workflow_scripts.validate_reward import main as validate_reward


def by_brute_force(points, manifold, k):
    """Share of points that are no farther from some point of the manifold than its k-th nearest other point is."""
    inside = 0
    for point in points:
        for i, centre in enumerate(manifold):
            others = sorted(float(np.linalg.norm(centre - other)) for j, other in enumerate(manifold) if j != i)
            if np.linalg.norm(point - centre) <= others[k - 1]:
                inside += 1
                break
    return inside / len(points)


def test_precision_and_recall_equal_brute_force():
    rng = np.random.default_rng(0)
    features, references = rng.normal(0.7, 1, (23, 4)), rng.normal(size=(31, 4))
    for k in (1, 3):
        found = precision_recall(features, references, k)
        expected = by_brute_force(features, references, k), by_brute_force(references, features, k)
        assert found == pytest.approx(expected)
        assert 0 < found.recall < 1


def test_a_set_without_half_of_the_contents_is_precise_but_recalls_half():
    rng = np.random.default_rng(0)
    left, right = rng.normal(-9, 1, (60, 3)), rng.normal(9, 1, (60, 3))
    whole, half = np.concatenate([left[:30], right[:30]]), left[:60]
    references = np.concatenate([left, right]) + rng.normal(0, 0.1, (120, 3))
    good, biased = precision_recall(whole, references), precision_recall(half, references)
    assert good.recall > 0.8 and biased.recall <= 0.5 and biased.precision > 0.9
    with pytest.raises(UserError, match="3 nearest of 3 features"):
        precision_recall(half[:3], references)


def share(values, prompts, resamples=200):
    """The row of `content_share`."""
    return next(content_share(pd.Series(values), np.array(prompts), resamples, 0))


def test_intraclass_correlation_of_a_worked_example():
    """Three prompts of two samples, by hand: MSB = 2 · var(1, 3, 5) = 8, MSW = (2 + 0 + 2) / (2 · 3 - 3) = 4 / 3."""
    assert share([0, 2, 3, 3, 4, 6], [0, 0, 1, 1, 2, 2])["value"] == pytest.approx((8 - 4 / 3) / (8 + 4 / 3))


def test_intraclass_correlation_of_unequal_groups():
    """MSB = (2 · 1.6² + 3 · 1.0666…²) / 1 with means 1 and 11/3, grand mean 2.6; MSW = (2 + 2/3) / 3; n0 = 5 - 13/5."""
    values, prompts = [0, 2, 3, 4, 4], [5, 5, 9, 9, 9]
    between, within, typical = 2 * 1.6**2 + 3 * (11 / 3 - 2.6) ** 2, (2 + 2 / 3) / 3, 5 - 13 / 5
    assert share(values, prompts)["value"] == pytest.approx((between - within) / (between + (typical - 1) * within))


def test_a_reward_of_contents_lies_between_prompts_and_noise_within():
    rng = np.random.default_rng(0)
    prompts, effect = np.repeat(np.arange(200), 10), np.repeat(rng.normal(size=200), 10)
    content = share(effect + 0.5 * rng.normal(size=2000), prompts)
    assert content["ci_low"] < 1 / 1.25 < content["ci_high"]
    noise = share(rng.normal(size=2000), prompts)
    assert noise["ci_low"] < 0 < noise["ci_high"] and noise["ci_high"] < 0.05


def test_pairwise_accuracy_leaves_the_judges_ties_out():
    assert pairwise_accuracy(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, -1.0])) == 0
    assert np.isnan(pairwise_accuracy(np.array([1.0, 2.0]), np.array([5.0, 5.0])))


@pytest.fixture
def files(tmp_path):
    """Rewards of 20 prompts with 4 samples each, a judge that agrees, features of proxies and references."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"prompt_id": np.repeat(np.arange(20), 4), "k": np.tile(np.arange(4), 20)})
    table["key"] = [f"{p:06d}-{k:02d}" for p, k in zip(table["prompt_id"], table["k"], strict=True)]
    logit = rng.normal(size=80)
    table.assign(reward=logit, logit=logit).to_parquet(tmp_path / "rewards.parquet")
    table.assign(crispness=2 * logit).to_parquet(tmp_path / "scores.parquet")
    (tmp_path / "part.json").write_text("{}")
    for name, n in (("proxies", 30), ("references", 40)):
        points = torch.from_numpy(rng.normal(size=(n, 3)))
        write_features(
            tmp_path / f"{name}.safetensors", points, encoder="e", fingerprint="f", images=tmp_path / "part.json"
        )
    record = {"stage": "initial", "held_out_accuracy": 0.9, "held_out_auc": 0.95}
    (tmp_path / "history.json").write_text(json.dumps({"history": [record]}))
    return tmp_path


def test_command_line(files):
    out = files / "validity.csv"
    judged = ["--rewards", str(files / "rewards.parquet"), "--judges", f"crispness={files / 'scores.parquet'}"]
    trained = ["--history", str(files / "history.json"), "--proxies", str(files / "proxies.safetensors")]
    trained += ["--num-proxies", "20", "--references", str(files / "references.safetensors")]
    validate_reward([*judged, *trained, "--resamples", "50", "--out", str(out)])
    found = pd.read_csv(out).set_index(["judge", "measure"])
    assert list(found.index) == [
        ("held-out proxies (initial)", "accuracy"),
        ("held-out proxies (initial)", "auc"),
        ("proxies against references", "precision"),
        ("proxies against references", "recall"),
        ("prompt", "intraclass correlation"),
        ("crispness", "rank correlation"),
        ("crispness", "pairwise accuracy"),
    ]
    assert found.loc[("crispness", "rank correlation"), "value"] == pytest.approx(1)
    assert found.loc[("proxies against references", "recall"), "n"] == 20
    validate_reward([*judged, "--resamples", "50", "--out", str(out)])
    assert list(pd.read_csv(out)["judge"].unique()) == ["prompt", "crispness"]
