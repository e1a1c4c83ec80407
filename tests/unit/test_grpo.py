"""GRPO's mathematics, by hand."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from workflow_scripts.lib.diffusion.flow import cps_step
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.grpo import WindowStep, advantages, clipped_objective, grpo_losses
from workflow_scripts.lib.training.judges import paired_references
from workflow_scripts.lib.training.rollouts import check_counts, plan_of_updates
from workflow_scripts.lib.training.settings import GRPOSettings

SETTINGS = GRPOSettings(
    group_size=4,
    sampling_steps=5,
    guidance_scale=1.0,
    sampler="cps",
    noise_level=0.8,
    window_start=0,
    window_width=2,
    generator_epochs=2,
    groups_per_epoch=4,
    updates_per_epoch=2,
    micro_batch_size=4,
    clip_range=1e-2,
    advantage_clip=5.0,
    advantage_std="global",
    kl_weight=0.0,
    kl_form="as_coded",
)


def test_advantages_of_one_two_three():
    rewards = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    deviation = math.sqrt(2 / 3) + 1e-4
    assert advantages(rewards, "group", 5)[0].tolist() == pytest.approx([-1 / deviation, 0, 1 / deviation])


def test_groups_are_centred_on_their_own_and_scaled_by_all_or_by_their_own_spread():
    rewards = torch.tensor([[0.0, 2.0], [10.0, 16.0]], dtype=torch.float64)
    everything = math.sqrt((7**2 + 5**2 + 3**2 + 9**2) / 4) + 1e-4  # about the mean 7
    found = advantages(rewards, "global", 5)
    assert found.flatten().tolist() == pytest.approx([-1 / everything, 1 / everything, -3 / everything, 3 / everything])
    found = advantages(rewards, "group", 5)
    assert found.flatten().tolist() == pytest.approx([-1 / 1.0001, 1 / 1.0001, -3 / 3.0001, 3 / 3.0001])


def test_equal_rewards_give_no_advantage_and_large_ones_are_clipped():
    assert advantages(torch.ones(2, 3), "group", 5).abs().max() == 0
    rewards = torch.zeros(1, 100)
    rewards[0, 0] = 1
    assert advantages(rewards, "group", 5)[0, 0] == 5


@pytest.mark.parametrize(
    ("rewards", "said"),
    [(torch.ones(3, 1), "one image only"), (torch.tensor([[1.0, float("nan")]]), "NaN or infinite")],
)
def test_advantages_refuse_what_cannot_be_compared(rewards, said):
    with pytest.raises(UserError, match=said):
        advantages(rewards, "global", 5)


def test_the_objective_is_clipped_only_where_clipping_makes_it_worse():
    old, ratio = torch.zeros(6, dtype=torch.float64), torch.tensor([1.0, 1.5, 0.5, 1.5, 0.5, 1.05])
    advantage = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, 2.0], dtype=torch.float64)
    found = clipped_objective(ratio.double().log(), old, advantage, 0.1)
    assert found.ratio.tolist() == pytest.approx(ratio.tolist())
    assert found.loss.tolist() == pytest.approx([-2.0, -2.2, -1.0, 3.0, 1.8, -2.1])


def test_a_clipped_sample_pulls_no_more():
    log_prob = torch.tensor([0.0, math.log(1.5)], requires_grad=True)
    clipped_objective(log_prob, torch.zeros(2), torch.ones(2), 0.1).loss.sum().backward()
    assert log_prob.grad.tolist() == pytest.approx([-1.0, 0.0])


def window_step(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, v, noise = (torch.randn(2, 1, 2, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    sigma, next_sigma = (torch.tensor(pair, dtype=torch.float64) for pair in ([1.0, 0.9], [0.9, 0.8]))
    taken = cps_step(x, v, sigma, next_sigma, 0.8, noise=noise)
    return v, WindowStep(x, taken.next_x, sigma, next_sigma, taken.log_prob)


def test_on_policy_the_loss_is_minus_the_mean_advantage_and_its_gradient_that_of_reinforce():
    v, step = window_step()
    advantage = torch.tensor([1.0, -3.0], dtype=torch.float64)
    policy = v.clone().requires_grad_()
    found = grpo_losses(lambda x, sigma: policy, None, step, advantage, SETTINGS)
    assert torch.equal(found["ratio"], torch.ones(2).double())
    assert found["loss"].item() == pytest.approx(1.0) and found["clip_fraction"] == 0 and "kl" not in found
    found["loss"].backward()
    again = v.clone().requires_grad_()
    log_prob = cps_step(step.latents, again, step.sigma, step.next_sigma, 0.8, next_x=step.next_latents).log_prob
    (-(advantage * log_prob).mean()).backward()
    assert torch.allclose(policy.grad, again.grad)


@pytest.mark.parametrize("form", ["as_coded", "closed_form"])
def test_the_divergence_from_the_reference_counts_by_its_weight(form):
    v, step = window_step()
    settings = replace(SETTINGS, kl_weight=0.5, kl_form=form)
    found = grpo_losses(lambda x, s: v, lambda: lambda x, s: v + 0.2, step, torch.zeros(2).double(), settings)
    expected = []
    for sigma, next_sigma in ((1.0, 0.9), (0.9, 0.8)):
        std = next_sigma * math.sin(0.4 * math.pi)
        moved = -(1 - next_sigma) * sigma * 0.2 + math.sqrt(next_sigma**2 - std**2) * (1 - sigma) * 0.2
        expected.append(moved**2 / (2 * std**2 if form == "closed_form" else 1))
    assert found["kl"].item() == pytest.approx(sum(expected) / 2, rel=1e-9)
    assert found["loss"].item() == pytest.approx(0.5 * found["kl"].item())


@pytest.mark.parametrize("processes", [1, 2])
def test_updates_and_processes_share_out_every_image_once(processes):
    plans = [plan_of_updates(replace(SETTINGS, micro_batch_size=2), p, processes) for p in range(processes)]
    for update in range(2):
        places = sorted(i for plan in plans for micro in plan[update] for i in micro.tolist())
        assert places == list(range(8 * update, 8 * update + 8))
    assert all(len(micro) == 2 for plan in plans for update in plan for micro in update)


@pytest.mark.parametrize(
    ("changes", "prompts", "said"),
    [
        ({}, 3, "4 groups of different prompts, but there are 3"),
        ({"micro_batch_size": 3}, 9, "16 images .* cannot be shared out"),
        ({"updates_per_epoch": 3}, 9, "16 images .* cannot be shared out"),
    ],
)
def test_counts_that_do_not_fit_are_refused(changes, prompts, said):
    with pytest.raises(UserError, match=said):
        check_counts(replace(SETTINGS, **changes), prompts, 1)
    check_counts(SETTINGS, 4, 2)


def test_each_image_of_a_group_is_paired_with_the_next_reference_of_its_prompt():
    references = {"a": torch.tensor([1, 2]).view(-1, 1, 1, 1), "b": torch.tensor([7]).view(-1, 1, 1, 1)}
    samples = [SimpleNamespace(prompt=prompt, k=k) for prompt, k in (("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 5))]
    paired = paired_references(SimpleNamespace(samples=samples), references)
    assert paired.flatten().tolist() == [1, 2, 1, 7, 7]
