"""Rollouts: without noise they are the pipeline's samples; with it, every step has the likelihood it was drawn with."""

from dataclasses import replace

import pytest
import torch

from workflow_scripts.lib.diffusion.flow import cps_step, ode_step
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.rollout import (
    group_samples,
    guided,
    roll_out,
    sampling_sigmas,
)
from workflow_scripts.lib.diffusion.sampling import encode_prompts
from workflow_scripts.lib.diffusion.settings import RolloutSettings
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.denoiser import predict

SETTINGS = RolloutSettings(3, 5, 1.0, "cps", 0.8, 1, 2)
PROMPTS = ["a frog on blue", "two cats on red"]
SHAPE = torch.Size((4, 8, 8))


@pytest.fixture(scope="module")
def pipeline(sd3_entry):
    return load_pipeline(sd3_entry, {}, None, "cpu", torch.float32)


def velocity_of(pipeline, samples, scale):
    text = encode_prompts(pipeline, [s.prompt for s in samples], guided=False)
    empty = encode_prompts(pipeline, [""], guided=False)
    return guided(lambda *args, **kw: predict(pipeline.transformer, *args, **kw), text, empty, scale)


@torch.inference_mode()
def rollout(pipeline, settings, prompts=PROMPTS, seed=0, number=0):
    samples = group_samples(prompts, settings, seed, number)
    velocity = velocity_of(pipeline, samples, settings.guidance_scale)
    return samples, roll_out(velocity, samples, SHAPE, sampling_sigmas(pipeline, settings.sampling_steps), settings)


@pytest.mark.parametrize("sampler", ["cps", "sde"])
@pytest.mark.parametrize("scale", [1.0, 4.5])
def test_without_noise_a_rollout_is_what_the_pipeline_samples(pipeline, sampler, scale):
    settings = replace(SETTINGS, sampler=sampler, noise_level=0.0, guidance_scale=scale)
    samples, found = rollout(pipeline, settings)
    theirs = pipeline(
        [s.prompt for s in samples],
        num_inference_steps=5,
        guidance_scale=scale,
        height=32,
        width=32,
        generator=[torch.Generator().manual_seed(s.seed) for s in samples],
        output_type="latent",
        max_sequence_length=0,
    ).images
    assert torch.allclose(found.final, theirs, atol=2e-4)


def test_the_trajectory_is_that_of_the_window_and_nothing_else_is_random(pipeline):
    """Replayed by hand: Euler to the window, the kept steps, Euler to the end."""
    samples, found = rollout(pipeline, SETTINGS)
    sigmas, velocity = sampling_sigmas(pipeline, 5), velocity_of(pipeline, samples, 1.0)
    with torch.inference_mode():
        x = torch.stack([torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(s.seed))[0] for s in samples])
        x = ode_step(x, velocity(x, sigmas[0].expand(6)), sigmas[0], sigmas[1])
        assert torch.allclose(x, found.latents[:, 0], atol=1e-5)
        for i in (0, 1):
            here, end = found.latents[:, i], found.latents[:, i + 1]
            predicted = velocity(here, sigmas[1 + i].expand(6))
            step = cps_step(here, predicted, sigmas[1 + i], sigmas[2 + i], 0.8, next_x=end)
            assert torch.allclose(step.log_prob, found.log_probs[:, i], atol=1e-6)
            assert ((end - step.mean) / step.std).std().item() == pytest.approx(1, abs=0.05)
        x = found.latents[:, 2]
        for i in (3, 4):
            x = ode_step(x, velocity(x, sigmas[i].expand(6)), sigmas[i], sigmas[i + 1])
    assert torch.allclose(x, found.final, atol=1e-4)
    assert torch.allclose(found.sigmas, sigmas[1:4].expand(6, 3))


def test_windows_drawn_for_each_group_may_stand_side_by_side_in_a_batch(pipeline):
    settings = replace(SETTINGS, window_start="random", sampling_steps=9)
    prompts = PROMPTS * 3
    samples, together = rollout(pipeline, settings, prompts)
    windows = [s.window for s in samples]
    assert len({w.start for w in windows}) > 1
    assert all(len({w.start for w in windows[3 * g : 3 * g + 3]}) == 1 for g in range(6))
    with torch.inference_mode():
        for i in (0, 4, 17):
            velocity = velocity_of(pipeline, samples[i : i + 1], 1.0)
            alone = roll_out(velocity, samples[i : i + 1], SHAPE, sampling_sigmas(pipeline, 9), settings)
            assert torch.allclose(alone.final[0], together.final[i], atol=1e-4)
            assert torch.allclose(alone.latents[0], together.latents[i], atol=1e-4)
            assert torch.allclose(alone.log_probs[0], together.log_probs[i], atol=1e-5)


def test_samples_of_a_group_differ_and_so_do_rollouts_and_replicates():
    seeds = [s.seed for args in ((0, 0), (0, 1), (1, 0)) for s in group_samples(PROMPTS * 2, SETTINGS, *args)]
    assert len(set(seeds)) == 36  # a prompt may occur in two groups
    assert [s.prompt for s in group_samples(PROMPTS, SETTINGS, 0, 0)] == [p for p in PROMPTS for _ in range(3)]


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match="group of 1 has no others"):
        replace(SETTINGS, group_size=1)


def test_a_model_that_does_not_match_flows_is_refused(pipeline_entry):
    with pytest.raises(UserError, match="flow-matching model such as sd3; StableDiffusionPipeline"):
        sampling_sigmas(load_pipeline(pipeline_entry, {}, None, "cpu", torch.float32), 5)
