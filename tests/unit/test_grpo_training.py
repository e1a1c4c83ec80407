"""GRPO on a small random SD3 with made-up rewards and discriminators: what the loop does, and that it can be broken."""

import contextlib
import os
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

from workflow_scripts.lib import progress
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.rewards.online import OnlineScorer, WeightedSum
from workflow_scripts.lib.training import grpo_training
from workflow_scripts.lib.training.discriminator_schedule import DiscriminatorSchedule
from workflow_scripts.lib.training.judges import Judges, Replay
from workflow_scripts.lib.training.online_training import train_online
from workflow_scripts.lib.training.policy_job import PolicyJob
from workflow_scripts.lib.training.references import References
from workflow_scripts.lib.training.settings import GRPOSettings, OptimiserSettings
from workflow_scripts.lib.training.updates import Updates

PROMPTS = ["a frog on blue", "two cats on red", "the word SUN on green"]
SETTINGS = GRPOSettings(
    group_size=4,
    sampling_steps=4,
    guidance_scale=1.0,
    sampler="cps",
    noise_level=0.8,
    window_start=0,
    window_width=2,
    generator_epochs=3,
    groups_per_epoch=2,
    updates_per_epoch=2,
    micro_batch_size=2,
    clip_range=1e-2,
    advantage_clip=5.0,
    advantage_std="global",
    kl_weight=0.0,
    kl_form="as_coded",
)
TRAINING = OptimiserSettings(
    learning_rate=1e-2,
    scope="lora",
    lora_rank=2,
    lora_alpha=4,
    lora_targets="attn",
    ema_decay=0.5,
    checkpoint_seconds=0.0,
)


class Brightness:
    """A scorer: the mean of all pixels and what is missing to white; `spoil` makes it something else."""

    def __init__(self, spoil=lambda values: values):
        self.spoil, self.calls = spoil, 0

    def encode(self, images, prompts):
        assert images.dtype == torch.uint8 and images.shape[1:] == (32, 32, 3) and len(images) == len(prompts)
        self.calls += 1
        brightness = images.float().mean((1, 2, 3)) / 255
        return {"brightness": self.spoil(brightness), "darkness": 1 - brightness}


class Nothing:
    """A scorer that finds nothing."""

    def encode(self, images, prompts):
        return {"nothing": torch.zeros(len(images))}


def rewarded_by(scorer):
    """The weighted sum of a scorer and of nothing."""
    scorers = {"brightness": scorer, "nothing": OnlineScorer("nothing", Nothing())}
    return WeightedSum(scorers, {"brightness": 1.0, "nothing": 0.5})


def brightness(spoil=lambda values: values):
    return OnlineScorer("brightness", Brightness(spoil))


class Judge:
    """A discriminator: a linear layer on the mean colour, trained by the hinge loss."""

    def __init__(self):
        self.layer, self.updates = nn.Linear(3, 1, bias=False), []
        nn.init.normal_(self.layer.weight, generator=torch.Generator().manual_seed(0))
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=0.05)

    def outputs(self, images):
        assert images.dtype == torch.uint8 and images.shape[1:] == (32, 32, 3)
        return self.layer(images.float().mean((1, 2)) / 255)[:, 0]

    def __call__(self, images, prompts):
        with torch.no_grad():
            return self.outputs(images)

    def update(self, references, generated, prompts):
        assert references.shape == generated.shape and len(prompts) == len(generated)
        self.updates.append((references, generated, prompts))
        scores = [self.outputs(images) for images in (references, generated)]
        loss = (1 - scores[0]).relu().mean() + (1 + scores[1]).relu().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.item()}

    def state_dict(self):
        return {"layer": self.layer.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state):
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])


class Pictures:
    """A collection of two plain pictures of each prompt."""

    def __init__(self, prompts, levels=(250, 240)):
        self.reads = 0
        rows = [(i, k, prompt, f"{i:06d}-{k:02d}") for i, prompt in enumerate(prompts) for k in (0, 1)]
        self.rows, self.levels = pd.DataFrame(rows, columns=["prompt_id", "k", "prompt", "key"]), levels

    def index(self):
        return self.rows

    def images(self, keys):
        import numpy as np

        keys = set(keys)
        self.reads += 1
        for row in self.rows.itertuples():
            if row.key in keys:
                yield row, np.full((32, 32, 3), self.levels[row.k], np.uint8)


class Recipe:
    """Of judges that are given as they are."""

    def __init__(self, rewards, discriminator, references, watchers):
        self.judges = rewards, discriminator, references, watchers

    def identity(self):
        return "these"

    def load(self, prompts, accelerator, seed):
        return Judges(*self.judges, accelerator)


def train(folder, entry, settings=SETTINGS, training=TRAINING, schedule=None, prompts=PROMPTS, **judging):
    folder.mkdir(exist_ok=True)
    out = folder / "policy" / "policy.json"
    pictures = judging.pop("pictures", Pictures(prompts) if schedule else None)
    references = References(pictures, prompts) if pictures else None
    rewards = judging.pop("rewards", None if schedule else rewarded_by(brightness()))
    judge, watchers = judging.pop("discriminator", Judge() if schedule else None), judging.pop("watchers", [])
    recipe, job = Recipe(rewards, judge, references, watchers), PolicyJob(entry, {}, None, 0, out, "code")
    train_online(job, prompts, recipe, settings, training, schedule, (32, 32))
    weights = load_file(out.parent / "transformer" / "diffusion_pytorch_model.safetensors")
    return weights, pd.read_parquet(out.parent / "history.parquet"), judge


class Killed(Exception):
    pass


RATIO = DiscriminatorSchedule("ratio", 2)
REPLAY = DiscriminatorSchedule("ratio", 3, replay=2)
TRIGGER = DiscriminatorSchedule("trigger", None)


@pytest.mark.parametrize("schedule", [None, RATIO, REPLAY, TRIGGER], ids=["none", "ratio", "replay", "trigger"])
def test_a_broken_run_equals_an_unbroken_one(tmp_path, sd3_entry, monkeypatch, schedule):
    changes = {"window_start": "random", "sampling_steps": 6} if schedule is None else {}
    settings = replace(SETTINGS, generator_epochs=3, **changes)
    weights, history, judge = train(tmp_path / "whole", sd3_entry, settings, schedule=schedule)
    epochs, original = [], grpo_training.GRPOTraining._epoch

    def dies_in_the_middle(self, epoch, *args):
        epochs.append(epoch)
        if epoch == 2 and epochs.count(2) == 1:
            raise Killed
        return original(self, epoch, *args)

    monkeypatch.setattr(grpo_training.GRPOTraining, "_epoch", dies_in_the_middle)
    with pytest.raises(Killed):
        train(tmp_path / "broken", sd3_entry, settings, schedule=schedule)
    torch.manual_seed(99)
    continued, continued_history, other = train(tmp_path / "broken", sd3_entry, settings, schedule=schedule)

    assert epochs == [0, 1, 2, *range(2, len(history))]
    pd.testing.assert_frame_equal(continued_history, history)
    assert all(torch.equal(weights[name], continued[name]) for name in weights)
    if judge is not None:
        assert torch.equal(judge.layer.weight, other.layer.weight)
        kept = torch.load(tmp_path / "broken" / "policy" / "discriminator.pt", weights_only=True)
        assert torch.equal(kept["layer"]["weight"], judge.layer.weight)
    assert not (tmp_path / "broken" / "policy" / "state").exists()


def test_the_generator_learns_to_be_bright(tmp_path, sd3_entry):
    settings = replace(SETTINGS, generator_epochs=12, group_size=8, micro_batch_size=8, clip_range=0.2)
    training = replace(TRAINING, checkpoint_seconds=1e9)
    _, history, _ = train(tmp_path, sd3_entry, settings, training)
    rewards = history["reward/brightness"]
    assert rewards.iloc[-3:].mean() > rewards.iloc[:3].mean() + history["reward_std/brightness"].iloc[:3].mean()


def test_a_row_of_the_history_is_an_epoch(tmp_path, sd3_entry, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    _, history, _ = train(tmp_path, sd3_entry)
    assert "training: 3/3 (100%)" in (said := capsys.readouterr().err) and "\r" not in said
    assert list(history["epoch"]) == [1, 2, 3] and set(history["kind"]) == {"generator"}
    assert list(history["images"]) == [8, 16, 24] and list(history["global_step"]) == [2, 4, 6]
    assert (history["ratio_first"] == 1).all()
    for name in ("reward/total", "reward_std/brightness", "loss", "clip_fraction", "grad_norm", "lr"):
        assert history[name].notna().all()
    policy = read_json(tmp_path / "policy" / "policy.json")
    assert (policy["objective"], policy["steps"], policy["part"]) == ("grpo", 6, "transformer")


def test_the_divergence_from_the_model_it_starts_from_begins_at_nothing(tmp_path, sd3_entry):
    for name, training in {"lora": TRAINING, "full": replace(TRAINING, scope="full", lora_rank=None)}.items():
        settings = replace(SETTINGS, kl_weight=0.1, updates_per_epoch=1, generator_epochs=2, guidance_scale=4.5)
        _, history, _ = train(tmp_path / name, sd3_entry, settings, training)
        assert history["kl"][0] == 0 < history["kl"][1]


def test_the_discriminator_learns_before_each_generator_epoch_from_rollouts_of_its_own(tmp_path, sd3_entry):
    settings = replace(SETTINGS, generator_epochs=2)
    _, history, judge = train(tmp_path, sd3_entry, settings, schedule=RATIO)
    kinds = ["discriminator", "discriminator", "generator"] * 2
    assert list(history["kind"]) == kinds and len(judge.updates) == 4
    assert list(history["global_step"]) == [1, 2, 4, 5, 6, 8] and history["images"].iloc[-1] == 6 * 8
    assert history["discriminator/loss"].notna().tolist() == [kind == "discriminator" for kind in kinds]
    references, generated, prompts = judge.updates[0]
    assert not torch.equal(generated, judge.updates[1][1])
    assert sorted(references.float().mean((1, 2, 3)).tolist()) == [240] * 4 + [250] * 4
    assert len(set(prompts)) == 2 and prompts == sorted(prompts, key=prompts.index)


def test_with_replay_its_steps_reuse_the_generators_rollouts(tmp_path, sd3_entry):
    settings = replace(SETTINGS, generator_epochs=2)
    _, history, judge = train(tmp_path, sd3_entry, settings, schedule=REPLAY)
    assert list(history["kind"]) == ["generator"] * 2 and history["images"].iloc[-1] == 16
    assert list(history["global_step"]) == [5, 10]
    images = [generated for _, generated, _ in judge.updates]
    assert torch.equal(images[0], images[1]) and torch.equal(images[1], images[2])  # one rollout is all there is
    assert torch.equal(images[3], images[5]) and torch.equal(images[4], images[0])  # newest, the one before, newest
    assert history["discriminator/loss"].notna().all() and history["reward/discriminator"].notna().all()


def test_it_is_triggered_when_generated_images_are_preferred(tmp_path, sd3_entry):
    _, history, judge = train(tmp_path, sd3_entry, schedule=TRIGGER)
    deceived = history["discriminator/reference"] < history["reward/discriminator"]
    assert list(history["kind"] == "discriminator") == list(deceived)
    assert len(judge.updates) == deceived.sum() > 0 and (history["kind"] == "generator").sum() == 3


def test_a_discriminator_that_never_learns_is_given_up(tmp_path, sd3_entry, monkeypatch):
    monkeypatch.setattr(grpo_training, "PATIENCE", 3)
    judge = Judge()
    judge.optimizer = torch.optim.Adam(judge.layer.parameters(), lr=0.0)
    with torch.no_grad():
        judge.layer.weight.fill_(-1.0)
    with pytest.raises(UserError, match="after 3 steps in a row"):
        train(tmp_path, sd3_entry, schedule=TRIGGER, discriminator=judge)


def test_rewards_and_a_discriminator_add_up_and_watchers_change_nothing(tmp_path, sd3_entry):
    settings, replayed = replace(SETTINGS, generator_epochs=1), {"schedule": REPLAY}
    rewards, watchers = rewarded_by(brightness()), [brightness()]
    watched = train(tmp_path / "a", sd3_entry, settings, **replayed, rewards=rewards, watchers=watchers)
    plain = train(tmp_path / "b", sd3_entry, settings, **replayed, rewards=rewarded_by(brightness()))
    row = watched[1].iloc[0]
    assert row["reward/total"] == pytest.approx(row["reward/brightness"] + row["reward/discriminator"], abs=1e-6)
    assert row["truth/darkness"] == pytest.approx(1 - row["reward/brightness"], rel=1e-4)
    assert all(torch.equal(watched[0][name], plain[0][name]) for name in plain[0])


def test_what_rewards_and_watches_scores_once(tmp_path, sd3_entry):
    scorer = brightness()
    settings = replace(SETTINGS, generator_epochs=1)
    _, history, _ = train(tmp_path, sd3_entry, settings, rewards=rewarded_by(scorer), watchers=[scorer])
    assert history["truth/brightness"].equals(history["reward/brightness"])
    assert scorer.scorer.calls == 4, "once for each micro-batch"


class Likeness:
    """A similarity: how near the brightness is to that of the references of the prompt."""

    metric = "likeness"

    def compare(self, images, prompts, references):
        assert all(references[prompt].shape == (2, 32, 32, 3) for prompt in prompts)
        theirs = torch.stack([references[prompt].float().mean() for prompt in prompts])
        return 1 - (images.float().mean((1, 2, 3)) - theirs).abs() / 255


def test_a_similarity_may_watch_and_references_are_read_only_for_those_who_compare(tmp_path, sd3_entry):
    settings, unread = replace(SETTINGS, generator_epochs=1), Pictures(PROMPTS)
    rewards = rewarded_by(brightness())
    plain = train(tmp_path / "a", sd3_entry, settings, rewards=rewards, watchers=[brightness()], pictures=unread)
    assert unread.reads == 0
    watchers = [OnlineScorer("like", Likeness())]
    watched = train(tmp_path / "b", sd3_entry, settings, rewards=rewards, watchers=watchers, pictures=Pictures(PROMPTS))
    row = watched[1].iloc[0]
    assert row["truth/likeness"] == pytest.approx(1 - (245 / 255 - row["reward/brightness"]), abs=1e-4)
    assert all(torch.equal(watched[0][name], plain[0][name]) for name in plain[0])
    with pytest.raises(UserError, match="'like' compares with reference images, but the run has none; name their role"):
        train(tmp_path / "c", sd3_entry, settings, rewards=rewards, watchers=watchers)


def test_micro_batches_change_no_result_but_for_rounding(tmp_path, sd3_entry):
    settings = replace(SETTINGS, updates_per_epoch=1, generator_epochs=1)
    training = replace(TRAINING, learning_rate=1e-3, adam_epsilon=1e-3)
    small, _, _ = train(tmp_path / "small", sd3_entry, settings, training)
    large, _, _ = train(tmp_path / "large", sd3_entry, replace(settings, micro_batch_size=8), training)
    assert all(torch.allclose(small[name], large[name], atol=1e-5) for name in small)


def test_in_bfloat16_ratios_begin_at_1_and_adapters_are_merged_into_the_base_as_it_was_loaded(tmp_path, sd3_entry):
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # it allows but one arithmetic in a process
    settings, training = (
        replace(SETTINGS, generator_epochs=2, guidance_scale=4.5),
        replace(TRAINING, mixed_precision="bf16"),
    )
    weights, history, _ = train(tmp_path, sd3_entry, settings, training)
    AcceleratorState._reset_state()
    assert history["ratio_first"][0] == 1 and history["loss"].notna().all()
    base = load_file(Path(sd3_entry["source"]["path"]) / "transformer" / "diffusion_pytorch_model.safetensors")
    moved = {name for name in base if not torch.equal(weights[name], base[name])}
    assert weights.keys() == base.keys() and moved and all(".attn." in name for name in moved)


def test_too_little_memory_names_the_micro_batch_to_try(tmp_path, sd3_entry, monkeypatch):
    def too_little(*args):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(grpo_training.GRPOTraining, "_update", too_little)
    with pytest.raises(UserError, match="for micro_batch_size 2 .*set micro_batch_size to 1, or set gradient_c"):
        train(tmp_path, sd3_entry)


def test_the_average_is_updated_on_the_clock_of_optimiser_steps(tmp_path, sd3_entry):
    """Six steps: with ema_every 4 the average moved once, with 7 never, so that the result is what it began with."""
    before = load_file(f"{sd3_entry['source']['path']}/transformer/diffusion_pytorch_model.safetensors")
    moved = {}
    for every in (4, 7):
        weights, _, _ = train(tmp_path / str(every), sd3_entry, training=replace(TRAINING, ema_every=every))
        moved[every] = max((weights[name] - before[name]).abs().max().item() for name in before)
    assert moved[7] < 1e-6 < moved[4]


def test_the_gradient_of_an_update_is_the_mean_over_its_micro_batches_and_steps(tmp_path, sd3_entry, monkeypatch):
    """Losses are made up: 1, 2, 3, … times a weight, whose gradient then is the mean of these."""
    factors, gradients = [], []

    def loss(training, *_):
        factors.append(len(factors) + 1.0)
        weights = next(iter(training.denoiser.trained().values()))
        return {"loss": factors[-1] * weights.sum(), "ratio": torch.ones(2)}

    def apply(updates, _):
        gradients.append(next(iter(updates.parameters.values())).grad.flatten()[0].item())
        updates.optimizer.zero_grad()
        return {}

    monkeypatch.setattr(grpo_training.GRPOTraining, "_losses", loss)
    monkeypatch.setattr(Updates, "apply", apply)
    train(tmp_path, sd3_entry, settings=replace(SETTINGS, generator_epochs=1))
    count = len(factors) // 2  # of each of the two updates: two micro-batches, two steps of the window
    assert count == 4 and len(gradients) == 2
    assert gradients == pytest.approx([sum(factors[:count]) / count, sum(factors[count:]) / count])


def test_the_average_forgets_where_it_began_faster_at_first():
    """By hand: at its n-th update it keeps (1 + n) / (10 + n) of itself, `ema_decay` at most."""
    denoiser = SimpleNamespace(trained=lambda: {"w": weight})
    weight, settings = torch.nn.Parameter(torch.zeros(1)), OptimiserSettings(1.0, ema_decay=0.3, ema_every=2)
    updates, average = Updates(denoiser, settings, steps=8), 0.0
    for n, keep in ((1, 2 / 11), (2, 3 / 12), (3, 0.3), (4, 0.3)):
        for _ in range(2):
            weight.grad = torch.ones(1)
            updates.apply(0.0)
        average = keep * average + (1 - keep) * weight.item()
        assert updates.average["w"].item() == pytest.approx(average), n


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_stops_before_anything_is_written(tmp_path, sd3_entry, value):
    def spoil(values):
        values[1] = value
        return values

    with pytest.raises(UserError, match=f"reward 'brightness' is {value} for the prompt '.* on "):
        train(tmp_path, sd3_entry, rewards=rewarded_by(brightness(spoil)))
    assert not (tmp_path / "policy" / "policy.json").exists()


@pytest.mark.parametrize("checkpointing", [False, True])
def test_rollout_update_and_what_is_computed_anew_have_the_choice_of_the_same_attention(
    tmp_path, sd3_entry, monkeypatch, checkpointing
):
    attend, choices, anew = torch.nn.functional.scaled_dot_product_attention, {False: [], True: []}, []

    def witness(*args, **options):
        choices[torch.is_grad_enabled()].append(_cur_sdpa_kernel_backends(with_priority=True))
        anew.append(torch._C._current_graph_task_id() >= 0)
        return attend(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", witness)
    training, before = replace(TRAINING, gradient_checkpointing=checkpointing), _cur_sdpa_kernel_backends(True)
    train(tmp_path, sd3_entry, replace(SETTINGS, generator_epochs=1), training)
    ways = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    assert any(anew) == checkpointing and min(map(len, choices.values())) > 0
    assert all(choice == ways for found in choices.values() for choice in found)
    assert _cur_sdpa_kernel_backends(True) == before


def test_the_choice_of_attention_changes_no_bit_on_a_cpu(tmp_path, sd3_entry, monkeypatch):
    chosen = train(tmp_path / "chosen", sd3_entry)
    monkeypatch.setattr(grpo_training, "one_attention_kernel", contextlib.nullcontext)
    left = train(tmp_path / "left", sd3_entry)
    pd.testing.assert_frame_equal(chosen[1], left[1], check_exact=True)
    assert all(torch.equal(chosen[0][name], left[0][name]) for name in left[0])


def test_a_rollout_that_disagrees_with_the_update_is_refused(tmp_path, sd3_entry, monkeypatch, capsys):
    """By more than the range in which an update is not clipped, 0.01, and more than rounding, 0.001."""
    original, by = grpo_training.grpo_losses, 0.009

    def shifted(velocity, reference, step, *args):
        return original(velocity, reference, step._replace(log_prob=step.log_prob + by), *args)

    monkeypatch.setattr(grpo_training, "grpo_losses", shifted)
    _, history, _ = train(tmp_path / "near", sd3_entry, replace(SETTINGS, generator_epochs=1))
    assert history["ratio_first"][0] == pytest.approx(0.991, abs=1e-4)
    assert "by rounding" not in capsys.readouterr().out
    by = 0.0005
    _, history, _ = train(tmp_path / "rounded", sd3_entry, replace(SETTINGS, generator_epochs=1, clip_range=1e-5))
    assert history["ratio_first"][0] == pytest.approx(0.9995, abs=1e-5)
    assert "begin up to 0.0005 away from 1 by rounding, which is more than clip_range 1e-05" in capsys.readouterr().out
    by = 0.011
    with pytest.raises(UserError, match="ratio is 0.98.* must be 1"):
        train(tmp_path / "far", sd3_entry)


def test_prompts_without_references_and_too_few_prompts_are_refused(tmp_path, sd3_entry):
    with pytest.raises(UserError, match="1 of 3 prompts have no reference image, such as 'the word SUN on green'"):
        train(tmp_path, sd3_entry, schedule=RATIO, pictures=Pictures(PROMPTS[:2]))
    with pytest.raises(UserError, match="4 groups of different prompts, but there are 3"):
        train(tmp_path, sd3_entry, replace(SETTINGS, groups_per_epoch=4))


def test_nothing_to_reward_by_and_a_discriminator_without_references_are_refused():
    with pytest.raises(UserError, match="nothing to reward"):
        Judges(None, None, None, [], None)
    with pytest.raises(UserError, match="learns from reference images"):
        Judges(None, Judge(), None, [], None)


@pytest.mark.parametrize(("schedule", "steps"), [("ratio", None), ("trigger", 9)])
def test_schedules_that_contradict_themselves_are_refused(schedule, steps):
    with pytest.raises(UserError, match="do not fit"):
        DiscriminatorSchedule(schedule, steps)


def test_replay_keeps_what_the_next_epoch_needs():
    replay, empty = Replay(3), torch.empty(0)
    replay.load_state_dict({"pairs": [(torch.tensor(i), empty, [str(i)]) for i in range(3)]})
    assert [pairs.prompts for pairs in replay.newest_first(4)] == [["2"], ["1"], ["0"], ["2"]]
    assert [prompts for _, _, prompts in replay.state_dict()["pairs"]] == [["1"], ["2"]]
    assert Replay(0).state_dict() == {"pairs": []}


def train_as_one_of_two(rank, folder, entry, port):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    settings = replace(SETTINGS, generator_epochs=1, micro_batch_size=2)
    recipe = Recipe(rewarded_by(brightness()), Judge(), References(Pictures(PROMPTS), PROMPTS), [])
    job = PolicyJob(entry, {}, None, 0, folder / "policy" / "policy.json", "code")
    train_online(job, PROMPTS, recipe, settings, TRAINING, RATIO, (32, 32))
    torch.distributed.destroy_process_group()


def test_two_processes_train_what_one_does(tmp_path, sd3_entry):
    """Rewards are compared within groups that both processes drew, and the discriminator sees all images."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(train_as_one_of_two, (tmp_path / "two", sd3_entry, port), nprocs=2)
    settings = replace(SETTINGS, generator_epochs=1)
    rewards = rewarded_by(brightness())
    weights, history, _ = train(tmp_path / "one", sd3_entry, settings, schedule=RATIO, rewards=rewards)
    policy = tmp_path / "two" / "policy"
    both = load_file(policy / "transformer" / "diffusion_pytorch_model.safetensors")
    assert all(torch.allclose(weights[name], both[name], atol=1e-5) for name in weights)
    pd.testing.assert_frame_equal(pd.read_parquet(policy / "history.parquet"), history, rtol=1e-4, atol=1e-5)
