"""Generators in the layout of their download, made small: the registry's own entries load and sample them.

tests/large does the same at the true size.
"""

import pytest
import torch

from tests.large import published
from tests.large.workspace import Workspace
from workflow_scripts.lib.cost import published_sizes as sizes
from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import Request, SamplingSettings, sample
from workflow_scripts.lib.spec import load_config

TEXT = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
BLOCKS = {"norm_num_groups": 4, "layers_per_block": 1}
SMALL = {
    "CLIP_L_TEXT": TEXT | {"hidden_size": 16},
    "CLIP_G_TEXT": TEXT | {"hidden_size": 32},
    "MODELSCOPE_TEXT": TEXT | {"hidden_size": 32},
    "T5_XXL": {"d_model": 64, "d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 2, "vocab_size": 32128},
    "SD15_UNET": BLOCKS | {"block_out_channels": (8,) * 4, "cross_attention_dim": 16, "attention_head_dim": 2},
    "SDXL_UNET": sizes.SDXL_UNET
    | BLOCKS
    | {"block_out_channels": (8, 8, 8), "attention_head_dim": 2, "transformer_layers_per_block": 1}
    | {"cross_attention_dim": 48, "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 80},
    "UNET_3D": BLOCKS | {"block_out_channels": (8,) * 4, "cross_attention_dim": 32, "attention_head_dim": 4},
    "SD3_TRANSFORMER": sizes.SD3_TRANSFORMER
    | {"num_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 64}
    | {"caption_projection_dim": 32, "pooled_projection_dim": 48, "dual_attention_layers": (0,)},
    **{
        name: getattr(sizes, name) | BLOCKS | {"block_out_channels": (8,) * 4}
        for name in ("SD15_VAE", "SDXL_VAE", "SD3_VAE")
    },
}
WRITERS = {
    "sd15": published.sd15,
    "sdxl": published.sdxl,
    "sd3": published.sd3,
    "videocrafter2": published.videocrafter2,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_published_layout_is_loaded_by_its_entry(tmp_path, monkeypatch, name):
    import huggingface_hub.constants

    for name_of_sizes, small in SMALL.items():
        monkeypatch.setattr(sizes, name_of_sizes, small)
    work = Workspace(tmp_path / "work")
    torch.manual_seed(0)
    WRITERS[name](work)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(work.hub))
    config = load_config(work.folder / "config")
    entry = config.pipeline(name)
    pipeline = load_pipeline(entry, config.pipelines(), None, "cpu", torch.float32)
    sampling = entry["sampling"]
    frames = 3 if "num_frames" in sampling else None
    settings = SamplingSettings(2, sampling["guidance_scale"], 64, 64, sampling["eta"], frames)
    requests = [Request(0, "a photo of a red cat", k, k) for k in range(2)]
    images, latents = sample(pipeline, requests, settings)
    assert images.shape == (2, *([3] if frames else []), 64, 64, 3) and latents.isfinite().all()
    assert (images[0] != images[1]).any()
    assert type(pipeline.scheduler).__name__ == sampling["scheduler"]
