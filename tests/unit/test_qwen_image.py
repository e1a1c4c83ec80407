"""Qwen-Image, which draws reference images, on a random pipeline of its own classes."""

import numpy as np
import pandas as pd
import pytest
import torch

from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import SamplingSettings, requests_for, sample, sample_part
from workflow_scripts.lib.shards import Part

SETTINGS = SamplingSettings(2, 4.0, 32, 32, prompt_suffix=", anime style")
PROMPTS = pd.DataFrame({"prompt_id": [0, 1], "prompt": ["a cat", "two dogs in a boat"]})


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A QwenImagePipeline of small random networks, saved and loaded as a registry entry."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )

    folder = tmp_path_factory.mktemp("qwen_image")
    torch.manual_seed(0)
    made = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        text_encoder=_text_encoder(),
        tokenizer=_tokenizer(),
        transformer=QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
        ),
    )  # fmt: skip
    made.save_pretrained(folder)
    sampling = {"scheduler": "FlowMatchEulerDiscreteScheduler"}
    entry = {"name": "random_qwen", "class": "QwenImagePipeline", "source": {"path": str(folder)}, "sampling": sampling}
    return load_pipeline(entry, {}, None, "cpu", torch.float32)


def _tokenizer():
    """Every byte is a token."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    return Qwen2Tokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def _text_encoder():
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 300,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1000000.0},
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision)).eval()


def test_it_equals_the_pipeline_called_as_on_its_card(pipeline):
    (request, _, *_) = requests = requests_for(PROMPTS, 1, 0, "references")
    images, latents = sample(pipeline, requests, SETTINGS)
    theirs = pipeline(
        prompt="a cat, anime style", negative_prompt=" ", true_cfg_scale=4.0, num_inference_steps=2,
        generator=torch.Generator("cpu").manual_seed(request.seed), output_type="np", height=32, width=32,
    ).images[0]  # fmt: skip
    assert images.shape == (2, 32, 32, 3) and images.dtype == torch.uint8 and latents is None
    assert np.abs(images[0].numpy() - np.rint(255 * theirs)).max() <= 1
    others, _ = sample(pipeline, requests, SamplingSettings(2, 4.0, 32, 32))
    assert not torch.equal(images, others), "the suffix is part of the prompt"


def test_references_are_stored_with_the_prompt_they_are_of(tmp_path, pipeline):
    requests = requests_for(PROMPTS, 2, 0, "references")
    sample_part(pipeline, [requests], SETTINGS, 2, tmp_path / "part0.json", "f00d")
    index = Part(tmp_path / "part0.json").index()
    assert list(index["prompt"]) == [prompt for prompt in PROMPTS["prompt"] for _ in range(2)]
