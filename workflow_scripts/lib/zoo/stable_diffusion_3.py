"""The tiny SD3-class pipeline: a multimodal transformer trained by flow matching, two CLIP text encoders and no T5."""

from __future__ import annotations

import torch
from torch import Tensor

from ..training.denoiser import predict as predict_velocity
from .corpus import Corpus
from .stable_diffusion import fit_to_captions, text_config

LAYERS, WIDTH, HEAD_WIDTH = 4, 96, 24
WIDTHS = (32, 64)  # of the text encoders
SHIFT = 3.0  # SD3's, for 512 pixels and more
CRISP_SHARE = 0.4  # as the tiny SDXL: of mixed quality


def build_text_encoders_3(tokenizer):
    """Two CLIP text models with projections; last-but-one layers and pooled ends are read side by side."""
    from transformers import CLIPTextModelWithProjection

    return tuple(CLIPTextModelWithProjection(text_config(tokenizer, width)) for width in WIDTHS)


def build_transformer(layers: int, width: int, latent_channels: int):
    """An SD3Transformer2DModel with a token per latent pixel and, as SD3.5-Medium, RMS-normed queries and keys.

    As in SD3.5-Medium the first half of its blocks attends to the image a second time (`attn2`).
    """
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=latent_channels,
        out_channels=latent_channels,
        num_layers=layers,
        attention_head_dim=min(HEAD_WIDTH, width),
        num_attention_heads=max(1, width // HEAD_WIDTH),
        joint_attention_dim=sum(WIDTHS),
        caption_projection_dim=width,
        pooled_projection_dim=sum(WIDTHS),
        pos_embed_max_size=8,
        dual_attention_layers=tuple(range(layers // 2)),
        qk_norm="rms_norm",
    )


def build_scheduler_3():
    """SD3's scheduler."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT)


def build_pipeline_3(vae, tokenizer, layers: int, width: int, latent_channels: int):
    """A `StableDiffusion3Pipeline` of random weights, without T5."""
    from diffusers import StableDiffusion3Pipeline

    first, second = build_text_encoders_3(tokenizer)
    return StableDiffusion3Pipeline(
        transformer=build_transformer(layers, width, latent_channels),
        scheduler=build_scheduler_3(),
        vae=vae,
        text_encoder=first,
        tokenizer=tokenizer,
        text_encoder_2=second,
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    )


def train_stable_diffusion_3(corpus: Corpus, vae, tokenizer, steps: int, batch: int, seed: int):
    """Train transformer and both text encoders on captions and images of mixed quality.

    Returns a `StableDiffusion3Pipeline` without the VAE, which is shipped once, with the tiny SD1.5.
    """
    torch.manual_seed(seed)
    pipeline = build_pipeline_3(None, tokenizer, LAYERS, WIDTH, vae.config.latent_channels).to(corpus.device)

    def predict(noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        encoders = (pipeline.text_encoder, pipeline.text_encoder_2)
        read = [encoder(tokens, output_hidden_states=True) for encoder in encoders]
        embeds = torch.cat([output.hidden_states[-2] for output in read], dim=-1)
        pooled = torch.cat([output.text_embeds for output in read], dim=-1)
        return predict_velocity(pipeline.transformer, noisy, timesteps, embeds, pooled)

    modules = torch.nn.ModuleList([pipeline.transformer, pipeline.text_encoder, pipeline.text_encoder_2])
    fit_to_captions(modules, predict, corpus, vae, tokenizer, pipeline.scheduler, steps, batch, seed, CRISP_SHARE)
    modules.eval()
    return pipeline
