"""What is SDXL's own: pooled embeddings, time ids, a VAE from elsewhere, its noise schedule and its true shapes."""

import shutil

import pandas as pd
import pytest
import torch

from workflow_scripts.lib.cost.published_sizes import SDXL_UNET
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import SamplingSettings, requests_for, sample, sample_part
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import sha256
from workflow_scripts.lib.shards import Part
from workflow_scripts.lib.training.denoiser import predict
from workflow_scripts.lib.training.encoding import encode_examples, pairs_of
from workflow_scripts.lib.training.examples import conditioning
from workflow_scripts.lib.training.noise import noise_schedule

PROMPTS = pd.DataFrame({"prompt_id": [0, 1], "prompt": ["a frog on blue", "two cats on red"]})


@pytest.fixture(scope="module")
def pipeline(xl_entry):
    return load_pipeline(xl_entry, {}, None, "cpu", torch.float32)


def conditioning_seen(pipeline, act):
    """What the UNet is called with, besides the tokens, while `act` runs."""
    seen = []
    hook = pipeline.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["added_cond_kwargs"]), with_kwargs=True
    )
    act()
    hook.remove()
    return seen[0]


def test_training_conditions_the_unet_as_sampling_does(tmp_path, pipeline):
    settings = SamplingSettings(2, 1.0, height=32, width=64)
    requests, path = requests_for(PROMPTS, 2, 0, "train.r0"), tmp_path / "part0.json"
    sampled = conditioning_seen(pipeline, lambda: sample(pipeline, requests, settings))
    assert sampled["time_ids"].tolist() == [[32, 64, 0, 0, 32, 64]] * 4

    sample_part(pipeline, [requests], settings, 4, path, "f")
    part = Part(path)
    examples = encode_examples(pipeline, part, pairs_of(part, None), "encoded", 2, 0)
    text = conditioning(examples, torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.bool), torch.device("cpu"))
    noisy, timesteps = torch.randn(4, 4, 8, 16), torch.tensor([5, 50, 500, 999])
    trained = conditioning_seen(pipeline, lambda: predict(pipeline.unet, noisy, timesteps, **text))
    assert torch.equal(trained["time_ids"], sampled["time_ids"])
    assert torch.allclose(trained["text_embeds"], sampled["text_embeds"], atol=1e-5)


def test_the_unet_heeds_pooled_text_and_time_ids(pipeline, xl_examples):
    index, kept = torch.tensor([0, 1]), torch.zeros(2, dtype=torch.bool)
    text = conditioning(xl_examples, index, kept, torch.device("cpu"))
    noisy, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([5, 500])
    with torch.no_grad():
        plain = predict(pipeline.unet, noisy, timesteps, **text)
        for name in ("pooled_prompt_embeds", "time_ids"):
            assert not torch.allclose(plain, predict(pipeline.unet, noisy, timesteps, **text | {name: text[name] + 7}))


def test_the_noise_schedule_of_training_is_that_of_the_sampler(pipeline):
    schedule, sampler = noise_schedule(pipeline.scheduler), pipeline.scheduler
    assert schedule.config.prediction_type == "epsilon"
    assert torch.allclose(schedule.alphas_cumprod, sampler.alphas_cumprod)
    assert schedule.config.num_train_timesteps == 1000
    sigma = ((1 - schedule.alphas_cumprod[-1]) / schedule.alphas_cumprod[-1]).sqrt()
    assert sigma.item() == pytest.approx(14.6146, abs=1e-3)  # SDXL's largest sigma


def test_its_vae_comes_from_elsewhere_and_is_verified(tmp_path, xl_entry, pipeline):
    from diffusers import AutoencoderKL

    folder = tmp_path / "vae"
    shutil.copytree(xl_entry["vae"]["source"]["path"], folder)
    weights = folder / "diffusion_pytorch_model.safetensors"
    vae = {"source": {"path": str(folder)}, "sha256": {weights.name: sha256(weights)}}
    loaded = load_pipeline(xl_entry | {"vae": vae}, {}, None, "cpu", torch.float32).vae.state_dict()
    expected = AutoencoderKL.from_pretrained(folder).state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    with pytest.raises(UserError, match="checksum mismatch"):
        load_pipeline(xl_entry | {"vae": {**vae, "sha256": {weights.name: "0" * 64}}}, {}, None, "cpu", torch.float32)


def test_an_entry_with_a_base_keeps_the_vae_of_the_base(xl_entry, pipeline):
    unet = {"source": {"path": xl_entry["source"]["path"] + "/unet"}, "base": "xl", "name": "changed"}
    changed = {key: value for key, value in xl_entry.items() if key != "vae"} | unet
    loaded = load_pipeline(changed, {"xl": xl_entry}, None, "cpu", torch.float32)
    assert torch.equal(loaded.vae.decoder.conv_in.weight, pipeline.vae.decoder.conv_in.weight)


def test_a_vae_that_overflows_in_half_precision_stays_in_float32(tmp_path, xl_entry):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(xl_entry["vae"]["source"]["path"])
    for safe in (False, True):  # sdxl-vae-fp16-fix says force_upcast: false
        vae.register_to_config(force_upcast=not safe)
        vae.save_pretrained(tmp_path / str(safe))
        entry = xl_entry | {"vae": {"source": {"path": str(tmp_path / str(safe))}}}
        loaded = load_pipeline(entry, {}, None, "cpu", torch.float16)
        assert loaded.unet.dtype == torch.float16
        assert loaded.vae.dtype == (torch.float16 if safe else torch.float32)


def test_images_are_not_marked(pipeline):
    assert pipeline.watermark is None


def test_the_true_unet_takes_what_training_gives_it():
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL_UNET)
        text = {
            "prompt_embeds": torch.empty(2, 77, 768 + 1280),
            "pooled_prompt_embeds": torch.empty(2, 1280),
            "time_ids": torch.empty(2, 6),
        }
        prediction = predict(unet, torch.empty(2, 4, 128, 128), torch.empty(2, dtype=torch.long), **text)
    assert prediction.shape == (2, 4, 128, 128)
