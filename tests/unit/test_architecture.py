"""Tab. 6 of GAN-RM against the code, and what happens when one of the two is edited."""

import copy

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards import architecture
from workflow_scripts.lib.rewards.reward_heads import RewardPredictionLayer
from workflow_scripts.lib.spec import load_config

LAYERS = load_config().architectures["ganrm_tab6"].data["layers"]


def test_the_table_is_the_papers_and_the_code_agrees():
    rows = list(architecture.checked(LAYERS))
    assert [row["shape"] for row in rows[:4]] == [[50, 768], [768], [768], [1536]]
    trained = [row["parameters"] for row in rows if row["parameters"] != architecture.FROZEN]
    assert sum(trained) == 7_092_482 == sum(one.numel() for one in RewardPredictionLayer().parameters())


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (5, {"shape": [2305]}, r"layer 5 is Linear with shape \[2304\]"),
        (8, {"layer": "Dropout(0.5)"}, r"layer 8 is Dropout\(0\.2\)"),
        (11, {"parameters": 3073}, "and 3072 parameters, not BatchNorm1d"),
        (6, {"module": "expand.9"}, r"layer 6 names module 'expand\.9'; known: encoder, cls"),
    ],
)
def test_a_difference_is_named(number, change, message):
    layers = copy.deepcopy(LAYERS)
    layers[number - 1].update(change)
    with pytest.raises(UserError, match=message):
        list(architecture.checked(layers))


def test_an_edit_of_the_code_is_noticed(monkeypatch):
    monkeypatch.setattr(architecture, "RewardPredictionLayer", lambda: RewardPredictionLayer(dropout=0.1))
    with pytest.raises(UserError, match=r"layer 8 is Dropout\(0\.1\)"):
        list(architecture.checked(LAYERS))
