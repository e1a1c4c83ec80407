"""Training of reward heads on made-up features, and the command line around it."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.features import read_features, write_features
from workflow_scripts.lib.rewards import training
from workflow_scripts.lib.rewards.features import FeatureSet, common_encoder
from workflow_scripts.lib.rewards.reward_heads import load_reward_model
from workflow_scripts.lib.rewards.scoring import head_logits
from workflow_scripts.lib.rewards.settings import RewardSettings
from workflow_scripts.lib.rewards.training import auc, stratified_split, train_head, train_reward_model
from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part
from workflow_scripts.train_reward import main as train_reward

FAST = RewardSettings(
    variant="naive",
    batch_size=16,
    epochs=5,
    learning_rate=1e-2,
    holdout=0.2,
    bootstrap_positives=10,
    bootstrap_negatives=10,
)


def images(n: int, shift: float, seed: int, width: int = 12) -> torch.Tensor:
    """Features of n images around `shift`."""
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) + shift


def data(n: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Separable target and generated images."""
    return torch.cat([images(n, 0.8, 1), images(n, -0.8, 2)]), torch.cat([torch.ones(n), torch.zeros(n)])


def test_separable_images_are_told_apart():
    trained = train_head(*data(), FAST, seed=3)
    assert trained.history[-1]["held_out_auc"] > 0.95
    assert trained.history[-1]["held_out_accuracy"] > 0.9
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert not trained.head.training


def test_random_labels_are_not():
    features = images(200, 0.0, 5)
    trained = train_head(features, (torch.arange(200) % 2).float(), FAST, seed=3)
    assert 0.2 < trained.history[-1]["held_out_auc"] < 0.8


def test_same_seed_same_head_whatever_the_global_generator_does():
    torch.manual_seed(1)
    first = train_head(*data(), FAST, seed=3)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = train_head(*data(), FAST, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    other = train_head(*data(), FAST, seed=4)
    weights = [trained.head.out.weight for trained in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first.history == second.history


def test_checkpoints_lie_at_regular_steps_and_end_with_the_head():
    trained = train_head(*data(), replace(FAST, epochs=10), seed=0)
    assert len(trained.checkpoints) == 5
    assert torch.equal(trained.checkpoints[-1].out.weight, trained.head.out.weight)
    early = train_head(*data(), replace(FAST, epochs=2, checkpoints=1), seed=0)
    assert torch.equal(trained.checkpoints[0].out.weight, early.head.out.weight)


def test_incomplete_batches_are_dropped():
    features, targets = data(20)  # 40 images, 8 held out, 32 train
    trained = train_head(features, targets, replace(FAST, batch_size=12, epochs=3, checkpoints=1), seed=0)
    assert [record["step"] for record in trained.history] == [2, 4, 6]
    one = train_head(features, targets, replace(FAST, batch_size=1000, epochs=3, checkpoints=1), seed=0)
    assert [record["step"] for record in one.history] == [1, 2, 3]


def test_split_is_stratified_and_disjoint():
    positive = torch.arange(50) < 10
    train, held_out = stratified_split(positive, 0.1, torch.Generator().manual_seed(0))
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(50))
    assert (positive[held_out].sum().item(), len(held_out)) == (1, 5)


def test_auc_counts_ties_one_half():
    assert auc(torch.tensor([3.0, 1.0, 2.0, 1.0]), torch.tensor([True, True, False, False])) == (1 + 1 + 0 + 0.5) / 4


def test_too_few_images_or_steps_are_refused():
    with pytest.raises(UserError, match="one class has 1"):
        train_head(torch.randn(5, 12), torch.tensor([1.0, 0, 0, 0, 0]), FAST, seed=0)
    with pytest.raises(UserError, match="too few for 5 checkpoints"):
        train_head(*data(10), replace(FAST, epochs=2), seed=0)


def test_a_diverging_loss_names_the_step_and_a_cure():
    features, targets = data()
    with pytest.raises(UserError, match=r"loss is (nan|inf) at step \d+ of 30 .*--learning-rate"):
        train_head(features * 1e30, targets, replace(FAST, learning_rate=1e18), seed=0)


def test_features_that_are_not_finite_are_refused():
    broken = images(20, 0, 1)
    broken[7, 3] = torch.nan
    with pytest.raises(UserError, match="negatives.*1 images.*first row 7"):
        train_reward_model(images(20, 1, 2), broken, None, FAST, seed=0)


@pytest.mark.parametrize(("variant", "heads"), [("naive", 1), ("average", 5), ("voting", 5), ("bootstrap", 1)])
def test_every_variant_ranks_new_images(variant, heads):
    config = replace(FAST, variant=variant)
    pool = torch.cat([images(30, 0.8, 7), images(30, -0.8, 8)])
    model, history = train_reward_model(images(40, 0.8, 1), images(40, -0.8, 2), pool, config, seed=0)
    assert len(model.heads) == heads
    logits = head_logits(model.heads[-1], pool, model.loss)
    assert auc(logits, torch.arange(60) < 30) > 0.95
    assert {record["stage"] for record in history} == (
        {"initial", "bootstrap"} if variant == "bootstrap" else {"initial"}
    )


def test_average_and_voting_share_the_heads_of_one_training():
    arguments = (images(40, 0.8, 1), images(40, -0.8, 2), None)
    naive, _ = train_reward_model(*arguments, FAST, seed=0)
    voting, _ = train_reward_model(*arguments, replace(FAST, variant="voting"), seed=0)
    assert torch.equal(naive.heads[0].out.weight, voting.heads[-1].out.weight)


def test_bootstrap_learns_from_the_pool():
    """What the naive head ranks high and low, the second head was told to push apart."""
    pool = images(60, 0.0, 9)
    arguments = (images(40, 0.5, 1), images(40, -0.5, 2), pool)
    naive, _ = train_reward_model(*arguments, FAST, seed=0)
    boot, _ = train_reward_model(*arguments, replace(FAST, variant="bootstrap"), seed=0)
    gaps = [head_logits(model.heads[0], pool, "bce").std().item() for model in (naive, boot)]
    assert gaps[1] > gaps[0]


@pytest.mark.parametrize(("tops", "bottoms"), [(10, 0), (0, 10), (0, 0)])
def test_bootstrap_with_one_pseudo_labelled_set_only(tops, bottoms, monkeypatch):
    seen = []
    monkeypatch.setattr(
        training, "train_head", lambda x, y, *rest, **how: seen.append((x, y)) or train_head(x, y, *rest, **how)
    )
    config = replace(FAST, variant="bootstrap", bootstrap_positives=tops, bootstrap_negatives=bottoms)
    pool = images(30, 0.0, 9)
    train_reward_model(images(40, 0.8, 1), images(40, -0.8, 2), pool, config, seed=0)
    (features, labels), initial = seen[1], seen[0][1]
    assert torch.equal(labels[:80], initial)
    assert len(features) == len(labels) == 80 + tops + bottoms
    assert ((labels[80:] > 0).sum(), (labels[80:] == 0).sum()) == (tops, bottoms)


def test_a_linear_probe_is_trained_as_the_rpl_is():
    config = replace(FAST, kind="linear")
    model, history = train_reward_model(images(40, 0.8, 1), images(40, -0.8, 2), None, config, seed=0)
    assert (model.heads[0].kind, history[-1]["epoch"]) == ("linear", 5)
    assert auc(head_logits(model.heads[0], data(30)[0], "bce"), data(30)[1] > 0) > 0.95


def test_a_centroid_needs_the_proxies_alone_and_the_others_need_negatives():
    model, history = train_reward_model(images(40, 0.8, 1), None, None, replace(FAST, kind="centroid"), seed=0)
    assert history == []
    assert auc(head_logits(model.heads[0], data(30)[0], "bce"), data(30)[1] > 0) > 0.95
    with pytest.raises(UserError, match="kind rpl .*--negatives"):
        train_reward_model(images(40, 0.8, 1), None, None, FAST, seed=0)


def test_bootstrap_without_a_pool_is_refused():
    with pytest.raises(UserError, match="--pool"):
        train_reward_model(images(9, 1, 1), images(9, -1, 2), None, replace(FAST, variant="bootstrap"), seed=0)


def test_unknown_variant_or_kind_is_refused():
    with pytest.raises(UserError, match="unknown kind 'svm'; known: rpl, linear, centroid"):
        RewardSettings(kind="svm")
    with pytest.raises(UserError, match="unknown variant 'bagging'; known: naive, average, voting, bootstrap"):
        RewardSettings(variant="bagging")


@pytest.fixture
def feature_files(tmp_path):
    """Feature files of proxies and negatives in two parts, and the part files they belong to."""
    paths = {}
    for i, (name, shift) in enumerate({"proxies": 0.8, "negatives0": -0.8, "negatives1": -0.8}.items()):
        images_file = tmp_path / f"{name}.json"
        images_file.write_text(json.dumps({"part": name}))
        paths[name] = tmp_path / f"{name}.safetensors"
        write_features(paths[name], images(20, shift, i), encoder="clip", fingerprint=name, images=images_file)
    return paths


def command(files, out, *options):
    """Arguments of train_reward on the files of `feature_files`."""
    negatives = [str(files["negatives0"]), str(files["negatives1"])]
    return [
        *("--proxies", str(files["proxies"]), "--negatives", *negatives, "--variant", "naive", "--batch-size", "8"),
        *("--epochs", "5", "--learning-rate", "0.01", "--seed", "1", *output(out), *options),
    ]


def output(out):
    """Arguments of train_reward that say where to write."""
    return ["--out", str(out), "--history", str(out.with_name("history.json"))]


def test_command_line_writes_head_and_history(tmp_path, feature_files):
    out = tmp_path / "head.safetensors"
    train_reward(command(feature_files, out))
    model = load_reward_model(out)
    assert (model.variant, model.encoder, model.width) == ("naive", "clip", 12)
    history = json.loads((tmp_path / "history.json").read_text())
    assert history["history"][-1]["held_out_auc"] > 0.9
    assert history["counts"] == {"proxies": 20, "negatives": 40, "pool": 0}


def test_command_line_of_a_centroid_needs_no_negatives(tmp_path, feature_files):
    out = tmp_path / "head.safetensors"
    options = ("--kind", "centroid", "--negatives", "--negative-images", "--num-proxies", "5")
    train_reward(["--proxies", str(feature_files["proxies"]), *options, *output(out)])
    assert load_reward_model(out).heads[0].kind == "centroid"
    assert json.loads((tmp_path / "history.json").read_text())["history"] == []


def test_command_line_takes_the_first_images_and_refuses_more_than_there_are(tmp_path, feature_files):
    out = tmp_path / "head.safetensors"
    train_reward(command(feature_files, out, "--num-proxies", "15", "--num-negatives", "30"))
    assert json.loads((tmp_path / "history.json").read_text())["counts"]["negatives"] == 30
    with pytest.raises(UserError, match="21 proxies.*hold 20"):
        train_reward(command(feature_files, out, "--num-proxies", "21"))


def test_a_failed_training_leaves_the_previous_head_untouched(tmp_path, feature_files):
    out = tmp_path / "head.safetensors"
    train_reward(command(feature_files, out))
    before = copy.copy(out.read_bytes())
    with pytest.raises(UserError, match="--learning-rate"):
        train_reward(command(feature_files, out, "--learning-rate", "1e38"))
    assert out.read_bytes() == before


def test_stale_or_foreign_features_are_refused(tmp_path, feature_files):
    images_file = tmp_path / "proxies.json"
    features, about = read_features(feature_files["proxies"], images_file)
    assert (features.shape, about["count"]) == ((20, 12), "20")
    images_file.write_text(json.dumps({"part": "changed"}))
    with pytest.raises(UserError, match="made of other images.*rm -f"):
        read_features(feature_files["proxies"], images_file)
    with pytest.raises(UserError, match="a was made by encoder 'clip', b by 'x'"):
        common_encoder({"a": about, "b": about | {"encoder": "x"}})


def test_pool_is_the_first_sample_of_each_prompt(tmp_path):
    with ShardWriter(tmp_path, "shard", "made") as writer:
        for i in range(6):
            writer.add(ImageRecord(key_of(i // 2, i % 2), np.zeros((8, 8, 3), np.uint8), i // 2, i % 2, "", 0))
        write_part(tmp_path / "part0.json", [writer.commit()], "made")
    path, features = tmp_path / "features.safetensors", torch.arange(6.0)[:, None].expand(6, 4)
    write_features(path, features, encoder="clip", fingerprint="", images=tmp_path / "part0.json")
    assert FeatureSet.read([path, path], [tmp_path / "part0.json"] * 2).features[:, 0].tolist() == [0, 2, 4, 0, 2, 4]
    assert len(FeatureSet.read([path])) == 6
    with pytest.raises(UserError, match="1 features files for 2 part files"):
        FeatureSet.read([path], [tmp_path / "part0.json"] * 2)


def test_pseudo_labelled_images_are_never_held_out(monkeypatch):
    """Held-out accuracy of the bootstrap stage is measured on D_r alone: pseudo-labels are no truth."""
    known, pseudo = torch.randn(40, 6), torch.full((20, 6), 50.0)
    targets = torch.cat([torch.arange(40) % 2, torch.zeros(20)])
    seen = []
    step = training.train_step

    def spy(head, optimizer, features, labels, loss):
        seen.append(features)
        return step(head, optimizer, features, labels, loss)

    config = replace(RewardSettings(), batch_size=8, epochs=1, holdout=0.5, checkpoints=1)
    monkeypatch.setattr(training, "train_step", spy)
    training.train_head(torch.cat([known, pseudo]), targets, config, 0, pseudo=20)
    assert (torch.cat(seen) == 50.0).all(dim=1).sum() == 20
