"""The tiny SDXL-class pipeline: two text encoders, a pooled embedding and micro-conditioning beside the tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from ..training.denoiser import predict as predict_noise
from ..world.vocabulary import IMAGE_SIZE
from .corpus import Corpus
from .stable_diffusion import build_unet, fit_to_captions, text_config

CHANNELS = (48, 72)
CRISP_SHARE = 0.4  # a better model than the tiny SD1.5, yet of mixed quality, so that there is something to select
WIDTHS = (32, 64)
TIME_ID_WIDTH = 8
TIME_IDS = (IMAGE_SIZE, IMAGE_SIZE, 0, 0, IMAGE_SIZE, IMAGE_SIZE)  # original size, crop, target size: all uncropped


def build_text_encoders(tokenizer):
    """A CLIP text model, and a wider one with a projection: their last-but-one layers are what the UNet reads."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    narrow, wide = WIDTHS
    return CLIPTextModel(text_config(tokenizer, narrow)), CLIPTextModelWithProjection(text_config(tokenizer, wide))


def build_unet_xl(channels: tuple[int, ...], latent_channels: int):
    """A UNet2DConditionModel that, as SDXL's, knows pooled text and time ids and does not attend at the top level."""
    return build_unet(
        channels,
        latent_channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=sum(WIDTHS),
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=len(TIME_IDS) * TIME_ID_WIDTH + WIDTHS[1],
        use_linear_projection=True,
    )


def build_scheduler_xl():
    """SDXL's scheduler and noise schedule."""
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )


def build_pipeline_xl(vae, tokenizer, channels: tuple[int, ...], latent_channels: int):
    """A `StableDiffusionXLPipeline` of random weights; without guidance's zeros, as dropped captions are empty ones."""
    from diffusers import StableDiffusionXLPipeline

    first, second = build_text_encoders(tokenizer)
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=build_unet_xl(channels, latent_channels),
        scheduler=build_scheduler_xl(),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    )


def train_stable_diffusion_xl(corpus: Corpus, vae, tokenizer, steps: int, batch: int, seed: int):
    """Train UNet and both text encoders on captions and images of mixed quality.

    Returns a `StableDiffusionXLPipeline` without the VAE, which is shipped once, with the tiny SD1.5.
    """
    torch.manual_seed(seed)
    pipeline = build_pipeline_xl(None, tokenizer, CHANNELS, vae.config.latent_channels).to(corpus.device)
    time_ids = torch.tensor(TIME_IDS, dtype=torch.float32, device=corpus.device)

    def predict(noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        first = pipeline.text_encoder(tokens, output_hidden_states=True)
        second = pipeline.text_encoder_2(tokens, output_hidden_states=True)
        embeds = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        ids = time_ids.expand(len(noisy), -1)
        return predict_noise(pipeline.unet, noisy, timesteps, embeds, second.text_embeds, ids)

    modules = torch.nn.ModuleList([pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2])
    fit_to_captions(modules, predict, corpus, vae, tokenizer, pipeline.scheduler, steps, batch, seed, CRISP_SHARE)
    modules.eval()
    return pipeline
