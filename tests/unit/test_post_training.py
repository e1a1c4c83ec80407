"""SFT and DPO on a small random pipeline: a broken run equals an unbroken one, LoRA equals its merged weights."""

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file

from workflow_scripts.lib import progress
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.training import loop
from workflow_scripts.lib.training.denoiser import Denoiser, predict
from workflow_scripts.lib.training.examples import Examples
from workflow_scripts.lib.training.noise import draw_step
from workflow_scripts.lib.training.objectives import DPO, SFT
from workflow_scripts.lib.training.policy_job import PolicyJob
from workflow_scripts.lib.training.post_training import post_train
from workflow_scripts.lib.training.settings import TrainingSettings
from workflow_scripts.lib.training.updates import Updates, accelerator_of

SETTINGS = TrainingSettings(learning_rate=1e-3, batch_size=2, max_steps=6, lr_warmup_steps=3, checkpoint_seconds=0.0)


OBJECTIVES = {"sft": SFT(), "dpo": DPO(beta=500.0)}


def train(folder, entry, examples, objective="dpo", settings=SETTINGS, entries=None):
    folder.mkdir(exist_ok=True)
    examples.save(folder / "examples.safetensors", "made of this")
    out = folder / "policy" / "policy.json"
    job = PolicyJob(entry, entries or {}, None, 0, out, "code")
    post_train(job, OBJECTIVES[objective], folder / "examples.safetensors", settings)
    return load_file(out.parent / read_json(out)["part"] / "diffusion_pytorch_model.safetensors"), json.loads(
        (out.parent / "history.json").read_text()
    )


SCHEDULE = DDPMScheduler()


class Killed(Exception):
    pass


LORA = {"scope": "lora", "lora_rank": 2}


@pytest.mark.parametrize(
    ("model", "objective", "changes"),
    [
        *[("sd15", objective, changes) for objective in ("sft", "dpo") for changes in ({}, LORA, {"ema_decay": 0.5})],
        *[("sdxl", objective, changes) for objective in ("sft", "dpo") for changes in ({}, LORA)],
        ("sdxl", "dpo", {"optimizer": "adafactor", "gradient_checkpointing": True}),
        *[("sd3", objective, LORA | {"gradient_checkpointing": True}) for objective in ("sft", "dpo")],
    ],
)
def test_a_broken_run_equals_an_unbroken_one(tmp_path, request, monkeypatch, model, objective, changes):
    names = {
        "sd15": ("pipeline_entry", "examples"),
        "sdxl": ("xl_entry", "xl_examples"),
        "sd3": ("sd3_entry", "sd3_examples"),
    }[model]
    pipeline_entry, examples = (request.getfixturevalue(name) for name in names)
    broken_equals_unbroken(tmp_path, monkeypatch, pipeline_entry, examples, objective, replace(SETTINGS, **changes))


@pytest.mark.parametrize("changes", [{}, {"scope": "lora", "lora_rank": 2}], ids=["full", "lora"])
def test_a_broken_run_on_clips_equals_an_unbroken_one(tmp_path, video_entries, video_examples, monkeypatch, changes):
    settings = replace(SETTINGS, gradient_checkpointing=True, **changes)
    entry = video_entries["video"]
    broken_equals_unbroken(tmp_path, monkeypatch, entry, video_examples, "dpo", settings, entries=video_entries)


def test_a_log_counts_the_steps_of_the_whole_training(tmp_path, pipeline_entry, examples, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    broken_equals_unbroken(tmp_path, monkeypatch, pipeline_entry, examples, "sft", SETTINGS)
    said = [line.partition(",")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("training: ")]
    assert said[6:] == [f"training: {step}/6 ({step / 6:.0%})" for step in (1, 2, 3, 4, 5, 6)]


def broken_equals_unbroken(tmp_path, monkeypatch, entry, examples, objective, settings, **others):
    weights, history = train(tmp_path / "whole", entry, examples, objective, settings, **others)

    steps_taken = []
    original = loop.Training._step

    def dies_at_step_4(self, step, *args):
        steps_taken.append(step)
        if step == 4 and len(steps_taken) == 5:
            raise Killed
        return original(self, step, *args)

    monkeypatch.setattr(loop.Training, "_step", dies_at_step_4)
    with pytest.raises(Killed):
        train(tmp_path / "broken", entry, examples, objective, settings, **others)
    continued, continued_history = train(tmp_path / "broken", entry, examples, objective, settings, **others)

    assert steps_taken == [0, 1, 2, 3, 4, 4, 5]
    assert continued_history == history
    assert weights.keys() == continued.keys()
    assert all(torch.equal(weights[name], continued[name]) for name in weights)


def test_other_settings_do_not_continue_an_old_state(tmp_path, pipeline_entry, examples, monkeypatch):
    original = loop.Training._step
    monkeypatch.setattr(
        loop.Training,
        "_step",
        lambda self, step, *a: original(self, step, *a) if step < 3 else (_ for _ in ()).throw(Killed()),
    )
    with pytest.raises(Killed):
        train(tmp_path, pipeline_entry, examples)
    monkeypatch.setattr(loop.Training, "_step", original)
    _, history = train(tmp_path, pipeline_entry, examples, settings=replace(SETTINGS, learning_rate=1e-4))
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["lr"] == pytest.approx(1e-4)


def test_another_start_is_another_training(tmp_path, pipeline_entry):
    starts = [None, *(tmp_path / name for name in ("a.json", "b.json", "c.json"))]
    for path, content in zip(starts[1:], ("{}", '{"sha256": "0"}', "{}"), strict=True):
        path.write_text(content)
    jobs = [PolicyJob(pipeline_entry, {}, start, 0, tmp_path / "policy.json", "code") for start in starts]
    model, a, b, c = (job.made_by(SETTINGS) for job in jobs)
    assert len({model, a, b}) == 3 and a == c


def test_dpo_learns_the_pairs(tmp_path, pipeline_entry, examples):
    settings = replace(SETTINGS, learning_rate=3e-3, max_steps=30, batch_size=6, checkpoint_seconds=1e9)
    _, history = train(tmp_path, pipeline_entry, examples, settings=settings)
    assert history[0]["loss"] == pytest.approx(0.693147, abs=1e-4)  # policy = reference: ln 2
    late = history[-10:]
    assert sum(row["implicit_accuracy"] for row in late) / 10 > 0.8


def test_dpo_learns_pairs_of_clips(tmp_path, video_entries, video_examples):
    settings = replace(SETTINGS, learning_rate=3e-3, max_steps=25, batch_size=6, checkpoint_seconds=1e9)
    _, history = train(tmp_path, video_entries["video"], video_examples, settings=settings, entries=video_entries)
    assert history[0]["loss"] == pytest.approx(0.693147, abs=1e-4)  # no dropout: policy = reference: ln 2
    assert sum(row["implicit_accuracy"] for row in history[-10:]) / 10 > 0.8


def test_recomputed_activations_change_no_gradient_of_a_video_network(video_entries):
    from diffusers import UNet3DConditionModel

    gradients = []
    for checkpointing in (False, True):
        unet = UNet3DConditionModel.from_pretrained(video_entries["video"]["source"]["path"])
        denoiser = Denoiser(unet, replace(SETTINGS, gradient_checkpointing=checkpointing), needs_reference=False)
        inputs = (torch.ones(1, 4, 2, 8, 8), torch.tensor([10]), torch.ones(1, 24, 96))
        predict(denoiser.network, *inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in denoiser.trained().items()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_sft_lowers_the_error(tmp_path, pipeline_entry, examples):
    settings = replace(SETTINGS, learning_rate=3e-3, max_steps=40, batch_size=6, checkpoint_seconds=1e9)
    _, history = train(tmp_path, pipeline_entry, examples, "sft", settings)
    losses = [row["loss"] for row in history]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_training_changes_the_weights_and_records_their_checksum(tmp_path, pipeline_entry, examples):
    weights, _ = train(tmp_path, pipeline_entry, examples)
    before = load_file(f"{pipeline_entry['source']['path']}/unet/diffusion_pytorch_model.safetensors")
    assert any(not torch.equal(weights[name], before[name]) for name in before)
    assert len(read_json(tmp_path / "policy" / "policy.json")["sha256"]) == 64
    assert not (tmp_path / "policy" / "state").exists()


def test_a_finished_training_outlives_its_policy_file(tmp_path, pipeline_entry, examples):
    """Snakemake removes the outputs of a job whose end no head has seen, and starts it again."""
    train(tmp_path, pipeline_entry, examples)
    policy, weights = tmp_path / "policy/policy.json", tmp_path / "policy/unet/diffusion_pytorch_model.safetensors"
    told, inode = policy.read_text(), weights.stat().st_ino
    policy.unlink()
    train(tmp_path, pipeline_entry, examples)
    assert (policy.read_text(), weights.stat().st_ino) == (told, inode)
    weights.write_bytes(weights.read_bytes()[:-1])  # damaged: trained again
    train(tmp_path, pipeline_entry, examples)
    assert (policy.read_text(), weights.stat().st_ino != inode) == (told, True)
    train(tmp_path, pipeline_entry, examples, settings=replace(SETTINGS, max_steps=2))
    assert read_json(policy)["steps"] == 2


def test_gradient_checkpointing_changes_no_result(tmp_path, xl_entry, xl_examples):
    plain, _ = train(tmp_path / "plain", xl_entry, xl_examples, "sft")
    checkpointed, _ = train(
        tmp_path / "less", xl_entry, xl_examples, "sft", replace(SETTINGS, gradient_checkpointing=True)
    )
    assert all(torch.allclose(plain[name], checkpointed[name], atol=1e-6) for name in plain)


def test_adafactor_factors_the_second_moments_of_matrices(tmp_path, xl_entry, xl_examples):
    """Its first step moves vectors by the learning rate, as Adam does, but each weight of a matrix by its own share."""
    settings = replace(SETTINGS, optimizer="adafactor", max_steps=1, lr_warmup_steps=0, adam_weight_decay=0.0)
    after, _ = train(tmp_path, xl_entry, xl_examples, "sft", settings)
    before = load_file(f"{xl_entry['source']['path']}/unet/diffusion_pytorch_model.safetensors")
    moved = {name: (after[name] - before[name]).abs() for name in ("conv_out.bias", "time_embedding.linear_2.weight")}
    assert torch.allclose(moved["conv_out.bias"], torch.full((4,), settings.learning_rate), rtol=1e-3)
    matrix = moved["time_embedding.linear_2.weight"]
    assert matrix.square().mean().sqrt() <= 1.001 * settings.learning_rate
    assert matrix.std() > 0.1 * settings.learning_rate


def test_a_nan_loss_stops_before_anything_is_written(tmp_path, pipeline_entry, examples):
    examples.best[3] = float("nan")
    with pytest.raises(UserError, match="loss is nan.*Lower learning_rate"):
        train(tmp_path, pipeline_entry, examples)
    assert not (tmp_path / "policy" / "policy.json").exists()


def test_a_gradient_that_is_no_number_changes_no_weight():
    """As of a square root at 0: the loss is finite."""
    weight = torch.nn.Parameter(torch.ones(3))
    updates = Updates(SimpleNamespace(trained=lambda: {"weight": weight}), SETTINGS, 6)
    loss = (weight - 1).square().sum().sqrt()
    loss.backward()
    with pytest.raises(UserError, match="norm of the gradient is nan at step 1 of 6; nothing"):
        updates.apply(loss.item())
    assert torch.equal(weight, torch.ones(3))


def test_dpo_without_rejected_images_is_refused(tmp_path, pipeline_entry, examples):
    with pytest.raises(UserError, match="no rejected images"):
        train(tmp_path, pipeline_entry, Examples(examples.best, None, examples.prompt_index, examples.embeddings))


def test_damaged_examples_are_refused(tmp_path, pipeline_entry, examples):
    path = tmp_path / "examples.safetensors"
    examples.save(path, "x")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="missing or damaged"):
        Examples.load(path)


@pytest.mark.parametrize("scope", ["full", "lora"])
def test_before_training_policy_and_reference_agree_and_after_a_change_they_do_not(pipeline_entry, scope):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(pipeline_entry["source"]["path"], subfolder="unet")
    denoiser = Denoiser(unet, replace(SETTINGS, scope=scope, lora_rank=2), needs_reference=True)
    inputs = (torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), torch.randn(2, 24, 96))
    before = denoiser.predict_reference(*inputs)
    assert torch.equal(before, predict(denoiser.network, *inputs))
    with torch.no_grad():
        for parameter in denoiser.trained().values():
            parameter.add_(0.01)
    assert not torch.equal(before, predict(denoiser.network, *inputs))
    assert torch.equal(before, denoiser.predict_reference(*inputs))


def test_a_merged_adapter_predicts_as_the_adapter_did(pipeline_entry):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(pipeline_entry["source"]["path"], subfolder="unet")
    denoiser = Denoiser(unet, replace(SETTINGS, **LORA), needs_reference=False)
    with torch.no_grad():
        for parameter in denoiser.trained().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    inputs = (torch.randn(2, 4, 8, 8), torch.tensor([10, 500]), torch.randn(2, 24, 96))
    with torch.no_grad():
        adapted, merged = predict(unet, *inputs), predict(denoiser.merged(), *inputs)
    assert torch.allclose(adapted, merged, atol=1e-4)
    assert not any("lora" in name for name, _ in unet.named_parameters())


def test_an_epoch_sees_each_example_once_in_an_order_of_its_own():
    def epoch(number, seed=0):
        draws = [draw_step(3 * number + i, 4, 12, (4, 8, 8), SCHEDULE, 0.2, seed) for i in range(3)]
        return torch.cat([draw.index for draw in draws]).tolist()

    assert sorted(epoch(0)) == sorted(epoch(1)) == list(range(12))
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)


def test_a_step_draws_the_same_whatever_came_before():
    first = draw_step(5, 4, 12, (4, 8, 8), SCHEDULE, 0.2, 0)
    draw_step(4, 4, 12, (4, 8, 8), SCHEDULE, 0.2, 0)
    again = draw_step(5, 4, 12, (4, 8, 8), SCHEDULE, 0.2, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_step_that_does_not_fit_into_memory_is_made_in_smaller_batches(
    tmp_path, pipeline_entry, examples, monkeypatch, capsys
):
    settings = replace(SETTINGS, batch_size=4, gradient_accumulation_steps=2, max_steps=2)
    weights, history = train(tmp_path / "whole", pipeline_entry, examples, settings=settings)
    original, sizes = DPO.means, []

    def limited(self, errors, draw):
        sizes.append(len(draw.index))
        if len(sizes) == 2 or sizes[-1] == 4 and len(sizes) > 2:  # the second batch, when gradients are there already
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return original(self, errors, draw)

    monkeypatch.setattr(DPO, "means", limited)
    halved, halved_history = train(tmp_path / "halved", pipeline_entry, examples, settings=settings)
    assert sizes == [4, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    assert "a batch of 4 examples does not fit" in capsys.readouterr().out
    for ours, theirs in zip(halved_history, history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    assert all(torch.allclose(halved[name], weights[name], atol=1e-4) for name in weights)


def test_processes_that_have_too_little_memory_are_told_the_batch_size_to_set(pipeline_entry, examples, monkeypatch):
    def too_little(draw):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    training = loop.Training(
        None,
        replace(SETTINGS, batch_size=4),
        1,
        lambda step: draw_step(0, 8, 12, (4, 8, 8), DDPMScheduler(), 0.0, 0),
        too_little,
        SimpleNamespace(num_processes=2, process_index=0, no_sync=nothing, autocast=nothing),
        None,
        "f",
    )
    training.denoiser = SimpleNamespace(network=None)
    updates = SimpleNamespace(optimizer=torch.optim.SGD([torch.zeros(1)]))
    with pytest.raises(UserError, match="too small for batch_size 4 .*set batch_size to 2, or give the training fewer"):
        training._step(0, updates)


def test_processes_that_cannot_share_a_step_equally_are_refused_before_they_wait_for_each_other():
    accelerator = SimpleNamespace(num_processes=3)
    with pytest.raises(UserError, match="the 16 examples of a step cannot be shared out among 3 processes"):
        loop.Training(None, replace(SETTINGS, batch_size=8), 1, None, None, accelerator, None, "f")


def test_processes_of_a_machine_share_the_threads_of_their_job(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    accelerator_of(SETTINGS)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


def test_processes_send_each_other_gradients_but_no_constant_tables():
    assert accelerator_of(SETTINGS).ddp_handler.broadcast_buffers is False


def nothing(*args):
    return contextlib.nullcontext()
