"""Two processes of Diffusion-DPO, as `torchrun` starts them, train what one does."""

import os
import socket
from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from tests.unit.test_post_training import OBJECTIVES, SETTINGS, train
from workflow_scripts.lib.diffusion.pipelines import WEIGHTS
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.training.policy_job import PolicyJob
from workflow_scripts.lib.training.post_training import post_train

FULL = replace(SETTINGS, gradient_accumulation_steps=4, max_steps=3, adam_epsilon=1e-3)
LORA = replace(FULL, scope="lora", lora_rank=2, gradient_checkpointing=True)
MODELS = {
    "sdxl": ("xl_entry", "xl_examples"),
    "sd3": ("sd3_entry", "sd3_examples"),
    "video": ("video_entries", "video_examples"),
}


@pytest.fixture(autouse=True)
def any_arithmetic():
    """accelerate allows but one in a process."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def train_as_one_of_two(rank, port, folder, examples, settings, entry, entries):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    job = PolicyJob(entry, entries, None, 0, folder / "policy" / "policy.json", "code")
    post_train(job, OBJECTIVES["dpo"], examples, settings)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("sdxl", replace(FULL, gradient_checkpointing=True, optimizer="adafactor")),
        ("sd3", replace(LORA, mixed_precision="bf16")),
        ("video", LORA),
    ],
)
def test_two_processes_train_what_one_does(tmp_path, request, model, settings):
    """With two micro-batches for each, of which only the second one is synchronised."""
    entry, examples = (request.getfixturevalue(name) for name in MODELS[model])
    entry, entries = (entry["video"], entry) if model == "video" else (entry, {})
    weights, history = train(tmp_path, entry, examples, "dpo", settings, entries)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    what = port, tmp_path / "two", tmp_path / "examples.safetensors", settings, entry, entries
    torch.multiprocessing.spawn(train_as_one_of_two, what, nprocs=2)
    policy = tmp_path / "two" / "policy"
    both, theirs = load_file(next(policy.glob(f"*/{WEIGHTS}"))), read_json(policy / "history.json")
    exact = settings.mixed_precision == "no"  # a last bit of bfloat16 is soon a digit
    assert all(torch.allclose(weights[name], both[name], atol=1e-5 if exact else 2e-3) for name in weights)
    for row, other in zip(history if exact else history[:1], theirs, strict=exact):
        assert row == pytest.approx(other, rel=1e-3, abs=1e-5)
