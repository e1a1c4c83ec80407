"""What is SD3's own: flow matching, joint text of two CLIPs and T5, a transformer in place of the UNet, true shapes."""

import math

import pandas as pd
import pytest
import torch

from workflow_scripts.lib.cost.published_sizes import SD3_TRANSFORMER
from workflow_scripts.lib.diffusion.pipelines import denoiser_name, load_pipeline, save_policy
from workflow_scripts.lib.diffusion.sampling import SamplingSettings, encode_prompts, requests_for, sample, sample_part
from workflow_scripts.lib.shards import Part
from workflow_scripts.lib.training.denoiser import Denoiser, predict
from workflow_scripts.lib.training.encoding import encode_examples, pairs_of
from workflow_scripts.lib.training.examples import conditioning
from workflow_scripts.lib.training.noise import draw_timesteps, noise_schedule, targets
from workflow_scripts.lib.training.settings import OptimiserSettings

PROMPTS = pd.DataFrame({"prompt_id": [0, 1], "prompt": ["a frog on blue", "two cats on red"]})
SETTINGS = SamplingSettings(3, 1.0, height=32, width=32)


@pytest.fixture(scope="module")
def pipeline(sd3_entry):
    return load_pipeline(sd3_entry, {}, None, "cpu", torch.float32)


def inputs_seen(pipeline, act):
    """What the transformer is called with while `act` runs, by name."""
    names, seen = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep"), []
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(dict(zip(names, args, strict=False)) | kwargs), with_kwargs=True
    )
    act()
    hook.remove()
    return seen[0]


def test_training_conditions_the_transformer_as_sampling_does(tmp_path, pipeline):
    requests, path = requests_for(PROMPTS, 2, 0, "train.r0"), tmp_path / "part0.json"
    sampled = inputs_seen(pipeline, lambda: sample(pipeline, requests, SETTINGS))
    sample_part(pipeline, [requests], SETTINGS, 4, path, "f")
    part = Part(path)
    examples = encode_examples(pipeline, part, pairs_of(part, None), "encoded", 2, 0)
    text = conditioning(examples, torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.bool), torch.device("cpu"))
    timesteps = torch.tensor([5.0, 50.0, 500.0, 999.0])
    trained = inputs_seen(pipeline, lambda: predict(pipeline.transformer, torch.randn(4, 4, 8, 8), timesteps, **text))
    for name in ("encoder_hidden_states", "pooled_projections"):
        assert torch.allclose(trained[name], sampled[name], atol=1e-5)
    assert torch.equal(trained["timestep"], timesteps)


def test_the_transformer_heeds_tokens_and_pooled_text(pipeline):
    text = encode_prompts(pipeline, ["a frog on blue"], guided=False)
    noisy, timesteps = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    with torch.no_grad():
        plain = predict(pipeline.transformer, noisy, timesteps, **text)
        for name in text:
            other = text | {name: text[name] + 3 * torch.randn_like(text[name])}
            assert not torch.allclose(plain, predict(pipeline.transformer, noisy, timesteps, **other), atol=1e-4)


@pytest.mark.parametrize("tokens", [0, 5])
def test_t5s_tokens_are_as_many_as_the_registry_says(sd3_entry, tokens):
    entry = sd3_entry | {"sampling": sd3_entry["sampling"] | {"max_sequence_length": tokens}}
    text = encode_prompts(load_pipeline(entry, {}, None, "cpu", torch.float32), ["a frog"], guided=False)
    assert text["prompt_embeds"].shape == (1, 24 + tokens, 96)
    assert text["pooled_prompt_embeds"].shape == (1, 96)


def test_latents_lie_on_the_line_between_image_and_noise_and_the_target_is_its_direction(pipeline):
    schedule = noise_schedule(pipeline.scheduler)
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    timesteps = torch.tensor([0.0, 250.0, 1000.0])
    noisy = schedule.add_noise(latents, noise, timesteps)
    assert torch.equal(noisy[0], latents[0]) and torch.equal(noisy[2], noise[2])
    assert torch.allclose(noisy[1], 0.75 * latents[1] + 0.25 * noise[1])
    velocity = targets(schedule, latents, noise, timesteps)
    assert torch.allclose(noisy - timesteps.view(3, 1, 1, 1) / 1000 * velocity, latents, atol=1e-6)


def test_timesteps_are_logit_normal_and_shifted_as_the_samplers_grid(pipeline):
    timesteps = draw_timesteps(noise_schedule(pipeline.scheduler), 100_000, torch.Generator().manual_seed(0))
    for deviations in (-1, 0, 1):  # quantiles of the normal go to 1000 * 3 s / (1 + 2 s), s = sigmoid
        s = 1 / (1 + math.exp(-deviations))
        below = 0.5 * (1 + math.erf(deviations / math.sqrt(2)))
        assert (timesteps < 1000 * 3 * s / (1 + 2 * s)).float().mean().item() == pytest.approx(below, abs=0.005)
    pipeline.scheduler.set_timesteps(3)
    middle = pipeline.scheduler.sigmas[1].item()  # about half of the unshifted grid
    assert middle == pytest.approx(3 * 0.5 / (1 + 2 * 0.5), abs=0.01)


def test_a_policy_of_a_transformer_is_saved_and_loaded(tmp_path, sd3_entry, pipeline):
    out = tmp_path / "policy.json"
    other = load_pipeline(sd3_entry, {}, None, "cpu", torch.float32)
    with torch.no_grad():
        other.transformer.proj_out.weight += 1
    save_policy(out, denoiser_name(type(other)), other.transformer, model="random_3")
    loaded = load_pipeline(sd3_entry, {}, out, "cpu", torch.float32)
    assert torch.equal(loaded.transformer.proj_out.weight, other.transformer.proj_out.weight)
    assert not torch.equal(loaded.transformer.proj_out.weight, pipeline.transformer.proj_out.weight)


def test_a_merged_adapter_on_named_targets_predicts_as_the_adapter_did(sd3_entry, pipeline):
    adapted_modules = {}
    for targets_name in ("attn", "attn_and_attn2"):
        model = load_pipeline(sd3_entry, {}, None, "cpu", torch.float32).transformer
        settings = OptimiserSettings(1e-3, scope="lora", lora_rank=2, lora_alpha=4, lora_targets=targets_name)
        denoiser = Denoiser(model, settings, needs_reference=False)
        adapted_modules[targets_name] = {name.rpartition(".lora_")[0] for name in denoiser.trained()}
        with torch.no_grad():
            for parameter in denoiser.trained().values():
                parameter.add_(0.1 * torch.randn_like(parameter))
        text = encode_prompts(pipeline, ["a frog on blue"], guided=False)
        inputs = (torch.randn(1, 4, 8, 8), torch.tensor([500.0]))
        with torch.no_grad():
            before, after = predict(model, *inputs, **text), predict(denoiser.merged(), *inputs, **text)
        assert torch.allclose(before, after, atol=1e-4)
        assert not torch.allclose(before, predict(pipeline.transformer, *inputs, **text), atol=1e-3)
    blocks = "transformer_blocks.0.attn", "transformer_blocks.1.attn"
    joint = {f"{block}.{name}" for block in blocks for name in ("to_q", "to_k", "to_v", "to_out.0")}
    joint |= {f"{block}.add_{name}_proj" for block in blocks for name in "qkv"} | {f"{blocks[0]}.to_add_out"}
    second = {f"transformer_blocks.0.attn2.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")}
    assert adapted_modules == {"attn": joint, "attn_and_attn2": joint | second}


def test_the_true_transformer_takes_what_training_gives_it_and_adapts_as_published():
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        model = SD3Transformer2DModel(**SD3_TRANSFORMER)
        text = {"prompt_embeds": torch.empty(2, 205, 4096), "pooled_prompt_embeds": torch.empty(2, 2048)}
        prediction = predict(model, torch.empty(2, 16, 64, 64), torch.empty(2), **text)
        settings = OptimiserSettings(1e-3, scope="lora", lora_rank=32, lora_alpha=64, lora_targets="attn")
        denoiser = Denoiser(model, settings, needs_reference=False)
    assert prediction.shape == (2, 16, 64, 64)
    assert sum(p.numel() for n, p in model.named_parameters() if "lora_" not in n) == pytest.approx(2.243e9, rel=1e-3)
    assert len(denoiser.trained()) == 382
    assert sum(p.numel() for p in denoiser.trained().values()) == pytest.approx(18.78e6, rel=1e-3)
