"""The reward prediction layer against Tab. 6 of GAN-RM and against the same mathematics written in numpy float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.reward_heads import (
    Centroid,
    LinearProbe,
    RewardModel,
    RewardPredictionLayer,
    load_reward_model,
    reward_logit,
    rpl_loss,
    save_reward_model,
)
from workflow_scripts.lib.rewards.scoring import mean_score_logit, score_features


def randomised(width: int = 8) -> RewardPredictionLayer:
    """A head whose BatchNorm statistics and affine parameters are not the trivial ones."""
    torch.manual_seed(0)
    head = RewardPredictionLayer(width)
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.normal_()
            module.running_var.uniform_(0.5, 2)
    return head.eval()


def numpy_forward(head: RewardPredictionLayer, features: np.ndarray) -> np.ndarray:
    """Rows 4-13 of Tab. 6 in evaluation mode."""
    weights = {name: value.double().numpy() for name, value in head.state_dict().items()}

    def linear(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def batch_norm(name, x):
        x = (x - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 1e-5)
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = batch_norm("expand.2", np.maximum(linear("expand.0", features), 0))
    hidden = batch_norm("contract.2", np.maximum(linear("contract.0", hidden), 0))
    return linear("out", features + hidden)


def test_parameters_and_layers_are_those_of_table_6():
    head = RewardPredictionLayer(1536)
    assert sum(p.numel() for p in head.parameters()) == 7_092_482
    counts = {
        name: sum(p.numel() for p in m.parameters()) for name, m in head.named_modules() if not list(m.children())
    }
    assert [n for n in counts.values() if n] == [3_541_248, 4_608, 3_540_480, 3_072, 3_074]
    order = [type(m) for m in (*head.expand, *head.contract, head.out)]
    assert order == [
        *(nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout),
        *(nn.Linear, nn.ReLU, nn.BatchNorm1d),
        nn.Linear,
    ]
    assert head.expand[3].p == 0.2
    assert head(torch.zeros(4, 1536)).shape == (4, 2)


def test_forward_pass_equals_numpy():
    head, features = randomised(), torch.randn(5, 8)
    expected = numpy_forward(head, features.double().numpy())
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_odd_width_is_refused():
    with pytest.raises(UserError, match="even feature width.*7"):
        RewardPredictionLayer(7)


def test_reward_logit_of_both_losses():
    outputs = torch.tensor([[1.0, 3.0], [2.0, -1.0]])
    assert reward_logit(outputs).tolist() == [3.0, -1.0]
    assert reward_logit(outputs, "softmax").tolist() == [2.0, -3.0]


def test_loss_of_undecided_outputs_is_ln_2_and_soft_targets_are_complementary():
    zeros, y = torch.zeros(3, 2), torch.tensor([0.0, 0.3, 1.0])
    assert rpl_loss(zeros, y).item() == pytest.approx(math.log(2))
    assert rpl_loss(zeros, y, "softmax").item() == pytest.approx(math.log(2))
    outputs = torch.tensor([[0.7, -0.4]])
    p = 1 / (1 + math.exp(-0.7)), 1 / (1 + math.exp(0.4))
    by_hand = [(1 - 0.3) * math.log(p[0]) + 0.3 * math.log(1 - p[0]), 0.3 * math.log(p[1]) + 0.7 * math.log(1 - p[1])]
    assert rpl_loss(outputs, torch.tensor([0.3])).item() == pytest.approx(-sum(by_hand) / 2)


def test_an_ensemble_is_saved_and_loaded_whole(tmp_path):
    heads = [randomised(), RewardPredictionLayer(8).eval()]
    save_reward_model(tmp_path / "head.safetensors", RewardModel(heads, "voting", "softmax", "clip", "abc"))
    loaded = load_reward_model(tmp_path / "head.safetensors")
    assert (loaded.variant, loaded.loss, loaded.encoder, loaded.fingerprint) == ("voting", "softmax", "clip", "abc")
    assert (loaded.width, len(loaded.heads)) == (8, 2)
    features = torch.randn(3, 8)
    for saved, read in zip(heads, loaded.heads, strict=True):
        assert torch.equal(saved(features), read(features))


def test_a_truncated_head_is_an_error_with_a_cure(tmp_path):
    path = tmp_path / "head.safetensors"
    save_reward_model(path, RewardModel([randomised()], "naive", "bce"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="head.safetensors.*train_reward"):
        load_reward_model(path)


def test_mean_score_of_an_ensemble_stays_ordered_where_sigmoid_saturates():
    logits = torch.tensor([[60.0, 50.0, 0.3, -60.0], [60.0, 50.0, -1.2, -50.0]])
    combined = mean_score_logit(logits)
    assert (combined.diff() < 0).all()
    mean = torch.sigmoid(logits[:, 2].double()).mean()
    assert torch.sigmoid(combined[2]).item() == pytest.approx(mean.item())
    assert torch.equal(mean_score_logit(logits[:1]), logits[0])


def test_scores_of_each_variant():
    features = torch.randn(5, 8)
    single = score_features(RewardModel([randomised()], "bootstrap", "bce"), features)
    assert list(single) == ["reward", "logit"]
    torch.testing.assert_close(single["reward"], torch.sigmoid(single["logit"].double()))
    pair = [randomised(), RewardPredictionLayer(8).eval()]
    votes = score_features(RewardModel(pair, "voting", "bce"), features, batch_size=2)
    assert list(votes) == ["reward", "logit", "vote0", "vote1"]
    torch.testing.assert_close(votes["vote1"], pair[1](features)[:, 1])


def test_features_of_another_width_are_refused():
    with pytest.raises(UserError, match=r"width 8 \(clip\).*\(5, 6\)"):
        score_features(RewardModel([randomised()], "naive", "bce", "clip"), torch.randn(5, 6))


def test_a_centroid_scores_by_the_cosine_with_the_mean_direction_of_the_targets():
    head = Centroid.of(torch.tensor([[2.0, 0.0], [0.0, 7.0]]))  # unit vectors (1, 0) and (0, 1): their mean is diagonal
    features = torch.tensor([[3.0, 3.0], [5.0, 0.0], [0.0, -1.0]])
    diagonal = 1 / math.sqrt(2)
    assert reward_logit(head(features)).tolist() == pytest.approx([1, diagonal, -diagonal])
    columns = score_features(RewardModel([head], "naive", "bce"), features)
    assert columns["reward"].tolist() == pytest.approx([1 / (1 + math.exp(-c)) for c in (1, diagonal, -diagonal)])


@pytest.mark.parametrize("head", [LinearProbe(8), Centroid.of(torch.randn(5, 8))], ids=lambda head: head.kind)
def test_every_kind_of_head_is_loaded_as_what_it_was(tmp_path, head):
    save_reward_model(tmp_path / "head.safetensors", RewardModel([head.eval()], "naive", "bce", "clip", "abc"))
    loaded = load_reward_model(tmp_path / "head.safetensors")
    assert (type(loaded.heads[0]), loaded.width) == (type(head), 8)
    features = torch.randn(3, 8)
    assert torch.equal(loaded.heads[0](features), head(features))


def test_a_linear_probe_has_one_layer():
    assert sum(parameter.numel() for parameter in LinearProbe(1536).parameters()) == 2 * 1536 + 2
