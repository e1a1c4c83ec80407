"""Steps of flow samplers against references written apart from them, element by element, in float64."""

import math

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from workflow_scripts.lib.diffusion.flow import (
    STEPS,
    cps_step,
    draw_window,
    kl_as_coded,
    kl_closed_form,
    ode_step,
    sde_step,
    squared_error_log_prob,
)
from workflow_scripts.lib.errors import UserError

GRID = [1.0, 0.9601, 0.9133, 0.8577, 0.7904, 0.7073, 0.6022, 0.4649, 0.2780, 0.0089, 0.0]  # ten steps, shift 3
PLACES = [0, 1, 4, 8]


def random_input(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, velocity, noise = (torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    sigma = torch.tensor([GRID[i] for i in PLACES], dtype=torch.float64)
    return x, velocity, sigma, torch.tensor([GRID[i + 1] for i in PLACES], dtype=torch.float64), noise


def scheduler():
    found = FlowMatchEulerDiscreteScheduler(shift=3.0)
    found.set_timesteps(10)
    return found


def reference_cps(x, v, s, n, eta):
    """One element: the next state keeps the coefficients (1 - n) of the image and n of noise, old and new."""
    std = n * math.sin(eta * math.pi / 2)
    image, old_noise = x - s * v, x + (1 - s) * v
    return (1 - n) * image + math.sqrt(n**2 - std**2) * old_noise, std


def reference_sde(x, v, s, n, a):
    """One element: dx = [v + g^2 / (2 s) (x + (1 - s) v)] ds + g dw, by Euler and Maruyama."""
    g = a * math.sqrt(s / (1 - (n if s == 1 else s)))
    return x + (v + g**2 / (2 * s) * (x + (1 - s) * v)) * (n - s), g * math.sqrt(s - n)


@pytest.mark.parametrize(
    ("step", "reference", "level"), [(cps_step, reference_cps, 0.8), (sde_step, reference_sde, 0.7)]
)
def test_a_step_equals_its_formula_element_by_element(step, reference, level):
    x, velocity, sigma, next_sigma, noise = random_input()
    found = step(x, velocity, sigma, next_sigma, level, noise=noise)
    for i in range(4):
        for place in np.ndindex(2, 3, 3):
            at = (i, *place)
            mean, std = reference(x[at].item(), velocity[at].item(), sigma[i].item(), next_sigma[i].item(), level)
            assert found.mean[at].item() == pytest.approx(mean, rel=1e-12)
            assert found.std.flatten()[i].item() == pytest.approx(std, rel=1e-12)
            assert found.next_x[at].item() == pytest.approx(mean + std * noise[at].item(), rel=1e-12)


def test_log_probabilities_equal_those_of_torch_distributions_and_the_plain_mean_square():
    x, velocity, sigma, next_sigma, noise = random_input()
    step = sde_step(x, velocity, sigma, next_sigma, 0.7, noise=noise)
    density = torch.distributions.Normal(step.mean, step.std.expand_as(step.mean)).log_prob(step.next_x)
    assert torch.allclose(step.log_prob, density.mean((1, 2, 3)), rtol=1e-12)
    coded = cps_step(x, velocity, sigma, next_sigma, 0.8, noise=noise)
    assert torch.allclose(coded.log_prob, -(coded.std.flatten() ** 2) * noise.square().mean((1, 2, 3)), rtol=1e-10)
    assert torch.allclose(squared_error_log_prob(coded.next_x, coded.mean), coded.log_prob)


@pytest.mark.parametrize(("step", "level"), [(cps_step, 0.8), (sde_step, 0.7)])
def test_a_step_taken_is_as_likely_when_asked_again(step, level):
    x, velocity, sigma, next_sigma, noise = random_input()
    drawn = step(x, velocity, sigma, next_sigma, level, noise=noise)
    asked = step(x, velocity, sigma, next_sigma, level, next_x=drawn.next_x)
    assert torch.equal(drawn.log_prob, asked.log_prob) and torch.equal(drawn.next_x, asked.next_x)
    with pytest.raises(ValueError, match="either"):
        step(x, velocity, sigma, next_sigma, level)


@pytest.mark.parametrize("name", STEPS)
def test_without_noise_a_step_is_the_schedulers(name):
    """Over a whole grid, so that the last step to sigma 0 is one of them."""
    ours = theirs = random_input()[0].float()
    euler = scheduler()
    for i, timestep in enumerate(euler.timesteps):
        velocity = torch.randn(ours.shape, generator=torch.Generator().manual_seed(i))
        sigma, next_sigma = euler.sigmas[i], euler.sigmas[i + 1]
        plain = ode_step(theirs, velocity, sigma, next_sigma)
        theirs = euler.step(velocity, timestep, theirs, return_dict=False)[0]
        assert torch.equal(plain, theirs)
        ours = STEPS[name](ours, velocity, sigma, next_sigma, 0.0, noise=torch.randn_like(ours)).next_x
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_the_grid_and_the_published_deviations_of_its_first_two_steps():
    sigmas = scheduler().sigmas
    assert torch.allclose(sigmas, torch.tensor(GRID), atol=5e-5)
    x = torch.zeros(1, 1)
    stds = [cps_step(x, x, sigmas[i], sigmas[i + 1], 0.8, noise=x).std.item() for i in (0, 1)]
    assert stds == pytest.approx([0.913, 0.869], abs=5e-4)
    assert [2 * std**2 for std in stds] == pytest.approx([1.67, 1.51], abs=5e-3)


def test_cps_preserves_the_coefficients():
    """Where model and noise are right, x' is again on the line between image and unit noise."""
    generator = torch.Generator().manual_seed(0)
    image, old, new = torch.full((1, 200_000), 0.5), *torch.randn(2, 1, 200_000, generator=generator)
    sigma, next_sigma = torch.tensor(0.9), torch.tensor(0.6)
    x = 0.1 * image + 0.9 * old
    step = cps_step(x, old - image, sigma, next_sigma, 0.8, noise=new.view(1, -1))
    assert step.next_x.mean().item() == pytest.approx(0.4 * 0.5, abs=0.01)
    assert step.next_x.std().item() == pytest.approx(0.6, abs=0.01)


def test_divergences_equal_torchs_closed_form_and_the_plain_mean_square():
    x, velocity, sigma, next_sigma, noise = random_input()
    policy = sde_step(x, velocity, sigma, next_sigma, 0.7, noise=noise)
    other = sde_step(x, velocity + 0.1, sigma, next_sigma, 0.7, next_x=policy.next_x)
    std = policy.std.expand_as(x)
    closed = torch.distributions.kl_divergence(
        torch.distributions.Normal(policy.mean, std), torch.distributions.Normal(other.mean, std)
    )
    assert torch.allclose(kl_closed_form(policy.mean, other.mean, policy.std), closed.mean((1, 2, 3)), rtol=1e-9)
    plain = ((policy.mean - other.mean) ** 2).mean((1, 2, 3))
    assert torch.allclose(kl_as_coded(policy.mean, other.mean, policy.std), plain)
    assert kl_closed_form(policy.mean, policy.mean, policy.std).abs().max() == 0


def test_a_fixed_window_stays_and_a_drawn_one_begins_in_the_noisier_half():
    assert draw_window(0, 2, 10, None) == range(0, 2)
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_window("random", 2, 10, generator) for _ in range(200)]
    assert {window.start for window in drawn} == {0, 1, 2, 3, 4, 5}
    assert {len(window) for window in drawn} == {2}


@pytest.mark.parametrize(("start", "width"), [(8, 2), (0, 10), (9, 1), ("random", 10), (-1, 2), (0, 0)])
def test_a_window_that_does_not_fit_is_refused(start, width):
    with pytest.raises(UserError, match="does not fit 10 sampling_steps"):
        draw_window(start, width, 10, torch.Generator())
