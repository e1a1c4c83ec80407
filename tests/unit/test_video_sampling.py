"""Clips: sampled from their own seeds, stored without loss, encoded; VideoCrafter2 on diffusers' stock classes."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import SamplingSettings, requests_for, sample, sample_part
from workflow_scripts.lib.diffusion.videocrafter import VideoCrafterDDIMScheduler, load_videocrafter_unet
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.shards import Collection, Part, encode
from workflow_scripts.lib.training.encoding import encode_examples, pairs_of
from workflow_scripts.lib.zoo.stable_diffusion import build_scheduler

PROMPTS = pd.DataFrame({"prompt_id": range(3), "prompt": ["a frog on blue", "two cats on red", "a cat on blue"]})


@pytest.fixture(scope="module")
def pipeline(video_entries):
    return load_pipeline(video_entries["video"], video_entries, None, "cpu", torch.float32)


def requests():
    return requests_for(PROMPTS, 2, 0, "eval")


@pytest.mark.parametrize("eta", [0.0, 1.0], ids=["ddim", "with noise"])
@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_batching_does_not_change_a_clip(pipeline, eta, guidance_scale):
    settings = SamplingSettings(3, guidance_scale, 32, 32, eta, num_frames=3)
    together, latents = sample(pipeline, requests(), settings)
    alone = torch.cat([sample(pipeline, [request], settings)[0] for request in requests()])
    assert together.shape == (6, 3, 32, 32, 3)
    assert latents.shape == (6, 4, 3, 8, 8)
    assert (together.int() - alone).abs().max() <= 1
    assert len(torch.unique(together, dim=0)) == 6


def test_noise_between_steps_changes_the_clip_and_leaves_the_scheduler_as_it_was(pipeline):
    plain, noisy = (sample(pipeline, requests()[:1], SamplingSettings(3, 1.0, 32, 32, e, 3))[1] for e in (0.0, 1.0))
    assert (plain - noisy).abs().mean() > 0.1
    assert "step" not in vars(pipeline.scheduler)


def test_a_part_of_clips_gives_back_every_frame(tmp_path, pipeline):
    settings, path = SamplingSettings(2, 1.0, 32, 32, num_frames=3), tmp_path / "part0.json"
    clips, latents = sample(pipeline, requests(), settings)
    sample_part(pipeline, [requests()[:4], requests()[4:]], settings, 6, path, "f")
    part = Part(path)
    assert part.frames == 3
    assert np.abs(np.stack([clip for _, clip in part.images()]).astype(int) - clips.numpy()).max() <= 1
    assert torch.allclose(part.latents(), latents, atol=1e-4)
    assert next(part.images(["000002-01"]))[1].shape == (3, 32, 32, 3)


def test_a_part_that_says_another_number_of_frames_and_parts_of_other_lengths_are_refused(tmp_path, pipeline):
    first, second = tmp_path / "part0.json", tmp_path / "part1.json"
    for path, frames in ((first, 3), (second, 2)):
        sample_part(pipeline, [requests()[:2]], SamplingSettings(1, 1.0, 32, 32, num_frames=frames), 6, path, "f")
    with pytest.raises(UserError, match="clips of different lengths"):
        Collection([first, second])
    first.write_text(first.read_text().replace('"frames": 3', '"frames": 7'))
    with pytest.raises(UserError, match="holds no 7 frames as 000000-00; delete it"):
        next(Part(first).images())


def test_a_damaged_clip_is_refused(tmp_path, pipeline):
    path = tmp_path / "part0.json"
    sample_part(pipeline, [requests()[:2]], SamplingSettings(1, 1.0, 32, 32, num_frames=3), 6, path, "f")
    tar = tmp_path / "part0-shard00000.tar"
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    with pytest.raises(UserError, match="is damaged at image 000000-00"):
        list(Part(path).images())


def test_a_clip_too_long_for_the_format_is_refused():
    with pytest.raises(ValueError, match="all frames of a clip counted"):
        encode(np.zeros((17, 1000, 8, 3), np.uint8))


def test_encoded_clips_are_encoded_frame_by_frame(tmp_path, pipeline):
    path = tmp_path / "part0.json"
    sample_part(pipeline, [requests()], SamplingSettings(2, 1.0, 32, 32, num_frames=3), 6, path, "f")
    part = Part(path)
    examples = encode_examples(pipeline, part, pairs_of(part, None), "encoded", 4, 0)
    assert examples.best.shape == examples.worst.shape == (3, 4, 3, 8, 8)
    frame = torch.from_numpy(next(part.images(["000001-00"]))[1][2]).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        posterior = pipeline.vae.encode(frame).latent_dist
    distance = (examples.best[1, :, 2] / pipeline.vae.config.scaling_factor - posterior.mean[0]) / posterior.std[0]
    assert abs(distance.mean().item()) < 0.3
    assert 0.8 < distance.std().item() < 1.2


def test_videocrafter_at_one_frame_rate_is_the_stock_network(tmp_path, pipeline):
    """Against the addition of both embeddings, as VideoCrafter2's own forward pass does it."""
    from diffusers.models.embeddings import TimestepEmbedding, Timesteps

    channels = pipeline.unet.config.block_out_channels[0]
    torch.manual_seed(0)
    rate = TimestepEmbedding(channels, 4 * channels)
    weights = pipeline.unet.state_dict() | {f"fps_embedding.{name}": value for name, value in rate.state_dict().items()}
    save_converted(tmp_path, pipeline.unet.config, weights)

    timesteps, text = torch.tensor([10, 500]), torch.randn(2, 24, 96)
    latents = torch.randn(2, 4, 3, 8, 8)
    constant = rate(Timesteps(channels, True, 0)(torch.tensor([28])))
    handle = pipeline.unet.time_embedding.register_forward_hook(lambda *call: call[2] + constant)
    with torch.no_grad():
        expected = pipeline.unet(latents, timesteps, text).sample
        handle.remove()
        without = pipeline.unet(latents, timesteps, text).sample
        loaded = load_videocrafter_unet(tmp_path, 28, torch.float32)(latents, timesteps, text).sample
        other = load_videocrafter_unet(tmp_path, 8, torch.float32)(latents, timesteps, text).sample
    assert torch.allclose(loaded, expected, atol=1e-5)
    assert (expected - without).abs().max() > 1e-3
    assert (expected - other).abs().max() > 1e-3


def test_videocrafter_without_a_frame_rate_or_with_other_weights_is_refused(tmp_path, pipeline):
    save_converted(tmp_path, pipeline.unet.config, {"conv_in.weight": torch.zeros(1)}, fps_cond=False)
    with pytest.raises(UserError, match="give `fps`"):
        load_videocrafter_unet(tmp_path, None, torch.float32)
    with pytest.raises(UserError, match="does not hold VideoCrafter2's UNet"):
        load_videocrafter_unet(tmp_path, 28, torch.float32)


def save_converted(folder, config, weights, fps_cond=True):
    from safetensors.torch import save_file

    save_file(
        {name: value.contiguous() for name, value in weights.items()}, folder / "diffusion_pytorch_model.safetensors"
    )
    named = {**config, "_class_name": "UNet3DVideoCrafterConditionModel", "fps_cond": fps_cond}
    (folder / "config.json").write_text(json.dumps(named, default=str))


def test_the_rescaled_schedule_recovers_what_it_noised():
    """With a perfect noise prediction every DDIM step leads to the next noising of the same clip."""
    scheduler = VideoCrafterDDIMScheduler.from_config(build_scheduler().config)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(1, 4, 3, 8, 8, generator=generator) for _ in range(2))
    scheduler.set_timesteps(50)
    sample = scheduler.add_noise(clean, noise, scheduler.timesteps[:1])
    for timestep, following in zip(scheduler.timesteps, scheduler.timesteps[1:], strict=False):
        sample = scheduler.step(noise, timestep, sample).prev_sample
        assert torch.allclose(sample, scheduler.add_noise(clean, noise, following[None]), atol=1e-4)
    sample = scheduler.step(noise, scheduler.timesteps[-1], sample).prev_sample
    assert torch.allclose(sample, scheduler.add_noise(clean, noise, torch.tensor([0])), atol=1e-4)
    signal = scheduler.add_noise(clean, torch.zeros_like(noise), torch.tensor([700])) / clean
    assert torch.allclose(signal, 0.7 * scheduler.alphas_cumprod[700] ** 0.5, atol=1e-4)
