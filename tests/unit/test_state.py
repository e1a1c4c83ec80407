"""A training that was killed continues as if it had not been."""

import os
import random

import numpy as np
import pytest
import torch

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.state import load_state, newest_state, save_state


def loaded(folder, fingerprint="f"):
    """What a training goes on from."""
    path = newest_state(folder, fingerprint)
    return path and load_state(path)


class Training:
    """A small training that uses every source of randomness there is."""

    def __init__(self):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        self.model = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10)
        self.losses = []

    def train(self, steps):
        for _ in range(steps):
            noise = torch.randn(4, 3) + random.random() + np.random.rand()
            loss = self.model(noise).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.losses.append(loss.item())

    def save(self, folder, fingerprint="f"):
        return save_state(
            folder,
            len(self.losses),
            tensors=self.model.state_dict(),
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            extra={"losses": self.losses},
            fingerprint=fingerprint,
        )

    def resume(self, folder, fingerprint="f"):
        state = loaded(folder, fingerprint)
        if state is not None:
            self.model.load_state_dict(state.tensors)
            state.restore(optimizer=self.optimizer, scheduler=self.scheduler)
            self.losses = state.extra["losses"]
            assert state.step == len(self.losses)
        return state


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    unbroken = Training()
    unbroken.train(8)

    broken = Training()
    broken.train(3)
    saved = broken.save(tmp_path)
    before = saved.read_bytes()
    broken.train(2)  # lost
    resumed = Training()
    torch.manual_seed(99), np.random.seed(99), random.seed(99)
    assert resumed.resume(tmp_path).step == 3
    resumed.train(5)

    assert saved.read_bytes() == before
    assert resumed.losses == unbroken.losses
    for name, weight in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight)


def test_nothing_saved_is_none(tmp_path):
    assert loaded(tmp_path / "nowhere") is None


def test_the_newest_two_are_kept(tmp_path):
    training = Training()
    for _ in range(4):
        training.train(1)
        newest = training.save(tmp_path)
    assert len(os.listdir(tmp_path)) == 2
    assert loaded(tmp_path).step == 4
    newest.unlink()
    assert loaded(tmp_path).step == 3


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, caplog, damage):
    training = Training()
    training.train(1)
    training.save(tmp_path)
    training.train(1)
    newest = training.save(tmp_path)
    data = bytearray(newest.read_bytes())
    weight = data.find(training.model.weight.detach().numpy().tobytes())
    assert weight > 0
    data[weight] ^= 1
    newest.write_bytes({"truncated": data[: len(data) // 2], "flipped": data, "empty": b""}[damage])
    assert loaded(tmp_path).step == 1
    assert f"{newest} is damaged" in caplog.text


def test_every_state_damaged_is_none(tmp_path):
    training = Training()
    training.save(tmp_path).write_bytes(b"not a state")
    assert loaded(tmp_path) is None


def test_another_fingerprint_is_ignored_and_then_replaced(tmp_path, caplog):
    old, new = Training(), Training()
    old.train(5)
    old.save(tmp_path, "old")
    assert new.resume(tmp_path, "new") is None
    assert "made from other settings" in caplog.text
    new.train(1)
    path = new.save(tmp_path, "new")
    assert list(tmp_path.iterdir()) == [path]
    assert loaded(tmp_path, "new").step == 1 and loaded(tmp_path, "old") is None


def test_what_a_killed_save_left_is_removed(tmp_path):
    left = tmp_path / ".step00000007.f.4194999.tmp.pt"
    left.write_bytes(b"half")
    path = Training().save(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_fails_keeps_the_states_there_are(tmp_path, monkeypatch):
    training = Training()
    training.train(1)
    path = training.save(tmp_path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    training.train(1)
    with pytest.raises(UserError, match="quota is full"):
        training.save(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    assert loaded(tmp_path).step == 1


def test_only_weights_are_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = Training().save(tmp_path)
    torch.save({"step": Evil()}, path)
    with pytest.raises(Exception, match="weights_only|Weights only"):
        loaded(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_tensors_of_any_type_and_no_optimiser(tmp_path):
    tensors = {"bf16": torch.ones(2, dtype=torch.bfloat16), "count": torch.tensor(3)}
    save_state(tmp_path, 0, tensors=tensors, fingerprint="f")
    state = loaded(tmp_path)
    assert state.tensors["bf16"].dtype == torch.bfloat16 and state.tensors["count"].item() == 3
    assert state.extra == {} and state.step == 0
    state.restore()
    with pytest.raises(KeyError):
        state.restore(optimizer=Training().optimizer)
