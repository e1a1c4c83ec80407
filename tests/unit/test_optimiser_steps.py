"""What a step draws and what it does to the weights, each by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from diffusers import PNDMScheduler

from workflow_scripts.lib.training.examples import conditioning
from workflow_scripts.lib.training.noise import draw_step, noise_schedule
from workflow_scripts.lib.training.settings import OptimiserSettings
from workflow_scripts.lib.training.updates import Updates

SHAPE = torch.Size([1, 2, 2])


def updates_of(weight: torch.nn.Parameter, steps: int, **settings) -> Updates:
    return Updates(SimpleNamespace(trained=lambda: {"w": weight}), OptimiserSettings(**settings), steps)


def learning_rates(count: int, **settings) -> list[float]:
    """Of each step, as it was taken."""
    weight = torch.nn.Parameter(torch.zeros(1))
    updates, rates = updates_of(weight, count, **settings), []
    for _ in range(count):
        rates.append(updates.learning_rate())
        weight.grad = torch.ones(1)
        updates.apply(0.0)
    return rates


def test_noise_is_of_all_timesteps_alike_and_captions_are_dropped_as_often_as_asked():
    schedule = noise_schedule(PNDMScheduler(num_train_timesteps=1000))
    draws = [draw_step(step, 64, 640, SHAPE, schedule, 0.2, seed=0) for step in range(100)]
    timesteps = torch.cat([draw.timesteps for draw in draws])
    tenths = torch.bincount(timesteps // 100, minlength=10) / len(timesteps)
    assert tenths.tolist() == pytest.approx([0.1] * 10, abs=0.02)
    assert timesteps.min() >= 0 and 990 < timesteps.max() < 1000
    assert torch.cat([draw.dropped for draw in draws]).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_a_dropped_caption_is_the_empty_prompt():
    embeddings = {"prompt_embeds": torch.arange(3.0).view(3, 1, 1), "pooled": 10 * torch.arange(3.0).view(3, 1)}
    examples = SimpleNamespace(prompt_index=torch.tensor([1, 2, 1]), embeddings=embeddings)
    given = conditioning(examples, torch.tensor([0, 1, 2]), torch.tensor([False, True, False]), "cpu")
    assert given["prompt_embeds"].flatten().tolist() == [1, 0, 1]
    assert given["pooled"].flatten().tolist() == [10, 0, 10]


def test_the_learning_rate_is_warmed_up_and_then_stays_or_falls_as_a_cosine():
    assert learning_rates(5, learning_rate=0.4, lr_warmup_steps=4) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4])
    cosine = [0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]
    warm = [0.5, 1, 1, 1]
    assert learning_rates(4, learning_rate=1.0, lr_warmup_steps=2, lr_scheduler="cosine") == pytest.approx(
        [one * other for one, other in zip(warm, cosine, strict=True)]
    )


def test_gradients_are_clipped_to_the_norm_that_is_told():
    weight = torch.nn.Parameter(torch.zeros(2))
    updates = updates_of(weight, 1, learning_rate=1.0, max_grad_norm=0.5)
    updates.optimizer, seen = torch.optim.SGD([weight], lr=1.0), torch.tensor([3.0, 4.0])
    weight.grad = seen.clone()
    assert updates.apply(0.0)["grad_norm"] == pytest.approx(5.0), "before it is clipped"
    assert (-weight).tolist() == pytest.approx((seen / 10).tolist(), rel=1e-5)
