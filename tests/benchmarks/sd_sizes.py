"""Random pipelines of the true classes, made on the device: SD1.5 and SDXL in their published sizes, and small ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workflow_scripts.lib.cost.published_sizes import (
    CLIP_G_TEXT,
    CLIP_L_TEXT,
    CROSS_DOWN,
    CROSS_UP,
    DOWN,
    SD15_UNET,
    SD15_VAE,
    SDXL_UNET,
    SDXL_VAE,
    UP,
)
from workflow_scripts.lib.diffusion.pipelines import place
from workflow_scripts.lib.zoo.stable_diffusion import build_scheduler
from workflow_scripts.lib.zoo.stable_diffusion_xl import build_scheduler_xl

from . import sd3_sizes
from .sd3_sizes import random_vae, text_encoder, tokenizer

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

SMALL_VAE = SD15_VAE | {"block_out_channels": (8, 8, 8), "norm_num_groups": 4}
SMALL_TEXTS = tuple(
    {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2, "num_hidden_layers": 2}
    for width in (32, 64)
)
SMALL = {"sample_size": 8, "block_out_channels": (16, 16), "layers_per_block": 1, "norm_num_groups": 8}


@dataclass(frozen=True)
class Size:
    """Of an SD1.5 (one text encoder) or an SDXL (two), whose images have `pixels` a side."""

    unet: dict[str, Any]
    vae: dict[str, Any]
    texts: tuple[dict[str, int], ...]
    pixels: int


SIZES = {
    "sd15": {
        "true": Size(SD15_UNET, SD15_VAE, (CLIP_L_TEXT,), 512),
        "small": Size(
            SD15_UNET
            | SMALL
            | {"down_block_types": (CROSS_DOWN, DOWN), "up_block_types": (UP, CROSS_UP)}
            | {"cross_attention_dim": 32, "attention_head_dim": 4},
            SMALL_VAE,
            SMALL_TEXTS[:1],
            32,
        ),
    },
    "sdxl": {
        "true": Size(SDXL_UNET, SDXL_VAE, (CLIP_L_TEXT, CLIP_G_TEXT), 1024),
        "small": Size(
            SDXL_UNET
            | SMALL
            | {"down_block_types": (DOWN, CROSS_DOWN), "up_block_types": (CROSS_UP, UP)}
            | {"transformer_layers_per_block": (1, 2), "attention_head_dim": (2, 4), "cross_attention_dim": 96}
            | {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 6 * 8 + 64},
            SMALL_VAE,
            SMALL_TEXTS,
            32,
        ),
    },
}


def random_pipeline(
    model: str, size: str, device: torch.device, dtype: torch.dtype, placed: bool = True
) -> DiffusionPipeline:
    """A pipeline sd15, sdxl or sd3, laid out for the device as `load_pipeline` does, or not."""
    if model == "sd3":
        pipeline = sd3_sizes.random_pipeline(sd3_sizes.SIZES[size], device)
    else:
        pipeline = _random_unet_pipeline(SIZES[model][size], device)
    pipeline.set_progress_bar_config(disable=True)
    return place(pipeline.to(dtype), device) if placed else pipeline.to(dtype)


def pixels_of(model: str, size: str) -> int:
    """A side of the model's images."""
    return (sd3_sizes.SIZES if model == "sd3" else SIZES[model])[size].pixels


def _random_unet_pipeline(size: Size, device: torch.device):
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    words = tokenizer()
    torch.manual_seed(0)
    with torch.device(device):
        unet = UNet2DConditionModel(**size.unet).eval()
        vae = random_vae(size.vae)
        first = text_encoder(size.texts[0], words, CLIPTextModel)
        common = {"unet": unet, "vae": vae, "text_encoder": first, "tokenizer": words}
        if len(size.texts) == 1:
            censor = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            return StableDiffusionPipeline(**common, **censor, scheduler=build_scheduler())
        second = text_encoder(size.texts[1], words, CLIPTextModelWithProjection)
    both = {"text_encoder_2": second, "tokenizer_2": words, "add_watermarker": False}
    return StableDiffusionXLPipeline(**common, **both, scheduler=build_scheduler_xl())
