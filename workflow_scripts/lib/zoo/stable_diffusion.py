"""The tiny SD1.5-class pipeline: epsilon-prediction UNet on the VAE's latents, with a CLIP text encoder trained along."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .corpus import Corpus, Spoilt
from .optimise import ExponentialAverage, minimise
from .tokenizer import MAX_LENGTH

CRISP_SHARE = 0.30
CAPTION_DROPOUT = 0.1
WIDTH = 96


def build_text_encoder(tokenizer):
    """A CLIP text model of two layers; its weights are trained with the UNet and frozen from then on."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
            projection_dim=WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(channels: tuple[int, ...], latent_channels: int):
    """A UNet2DConditionModel on 8x8 latents with cross-attention at each level."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_scheduler():
    """SD1.5's noise schedule."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def train_stable_diffusion(corpus: Corpus, vae, tokenizer, steps: int, batch: int, seed: int, channels: tuple[int, ...]):
    """Train UNet and text encoder on captions and images of mixed quality; returns a `StableDiffusionPipeline`."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(seed)
    scheduler, text_encoder, unet = build_scheduler(), build_text_encoder(tokenizer).to(corpus.device), build_unet(channels, vae.config.latent_channels).to(corpus.device)
    generator = torch.Generator(corpus.device).manual_seed(seed)
    tokens = tokenizer([s.caption() for s in corpus.scenes], padding="max_length", return_tensors="pt").input_ids.to(corpus.device)
    open_tokens = tokenizer(_open_captions(corpus), padding="max_length", return_tensors="pt").input_ids.to(corpus.device)
    empty = tokenizer("", padding="max_length", return_tensors="pt").input_ids.to(corpus.device)
    alphas = scheduler.alphas_cumprod.to(corpus.device)
    average = ExponentialAverage(torch.nn.ModuleList([unet, text_encoder]), 0.9995)

    def loss_of_step(step: int) -> Tensor:
        average.update()
        index = corpus.draw_scenes(batch, generator)
        latents = _latents(vae, corpus, index, corpus.draw_spoils(batch, CRISP_SHARE, generator), generator)
        luck = torch.rand(batch, 1, device=corpus.device, generator=generator)
        ids = torch.where(luck < 0.4, open_tokens[index], tokens[index])
        ids = torch.where(luck > 1 - CAPTION_DROPOUT, empty, ids)
        noise = torch.randn(latents.shape, device=corpus.device, generator=generator)
        timesteps = torch.randint(1000, (batch,), device=corpus.device, generator=generator)
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        return F.mse_loss(unet(noisy, timesteps, text_encoder(ids).last_hidden_state).sample, noise)

    minimise([*unet.parameters(), *text_encoder.parameters()], loss_of_step, steps, 2e-3, "stable diffusion")
    average.copy_to()
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _open_captions(corpus: Corpus) -> list[str]:
    from dataclasses import replace

    return [replace(scene, place=None).caption() for scene in corpus.scenes]


@torch.no_grad()
def _latents(vae, corpus: Corpus, index: Tensor, spoilt: Spoilt, generator: torch.Generator) -> Tensor:
    """Scaled latents (B, C, 8, 8) of freshly spoilt renderings."""
    images = 2 * corpus.draw_images(index, spoilt, generator) - 1
    return vae.encode(images).latent_dist.mean * vae.config.scaling_factor
