"""The tiny SD1.5-class pipeline: epsilon-prediction UNet on the VAE's latents, a CLIP text encoder trained along."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .corpus import Corpus
from .optimise import ExponentialAverage, minimise
from .tokenizer import MAX_LENGTH

CRISP_SHARE = 0.30
CAPTION_DROPOUT = 0.1
OPEN_SHARE = 0.4
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


def train_stable_diffusion(
    corpus: Corpus, vae, tokenizer, steps: int, batch: int, seed: int, channels: tuple[int, ...]
):
    """Train UNet and text encoder on captions and images of mixed quality; returns a `StableDiffusionPipeline`."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(seed)
    scheduler, text_encoder = build_scheduler(), build_text_encoder(tokenizer).to(corpus.device)
    unet = build_unet(channels, vae.config.latent_channels).to(corpus.device)
    generator = torch.Generator(corpus.device).manual_seed(seed)
    tokens = [_tokens(tokenizer, captions, corpus.device) for captions in (_stated(corpus), _open(corpus), [""])]
    bank = encode_corpus(vae, corpus, generator)
    average = ExponentialAverage(torch.nn.ModuleList([unet, text_encoder]), 0.999)

    def loss_of_step(step: int) -> Tensor:
        average.update()
        index = corpus.draw_scenes(batch, generator)
        latents = bank[torch.randint(len(bank), (batch,), device=corpus.device, generator=generator), index]
        noise = torch.randn(latents.shape, device=corpus.device, generator=generator)
        timesteps = torch.randint(1000, (batch,), device=corpus.device, generator=generator)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        states = text_encoder(_draw_captions(tokens, index, generator)).last_hidden_state
        return F.mse_loss(unet(noisy, timesteps, states).sample, noise)

    minimise([*unet.parameters(), *text_encoder.parameters()], loss_of_step, steps, 1.5e-3, "stable diffusion")
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


@torch.no_grad()
def encode_corpus(vae, corpus: Corpus, generator: torch.Generator, copies: int = 10) -> Tensor:
    """Scaled latents (copies, scenes, C, 8, 8) of every scene.

    The first CRISP_SHARE of its copies are crisp, each other is spoilt in its own way.
    """
    num_scenes, bank = len(corpus.scenes), []
    for copy in range(copies):
        spoilt = corpus.draw_spoils(num_scenes, float(copy < CRISP_SHARE * copies), generator)
        images = 2 * corpus.draw_images(torch.arange(num_scenes, device=corpus.device), spoilt, generator) - 1
        bank.append(torch.cat([vae.encode(part).latent_dist.mean for part in images.split(256)]))
    return torch.stack(bank) * vae.config.scaling_factor


def _stated(corpus: Corpus) -> list[str]:
    return [scene.caption() for scene in corpus.scenes]


def _open(corpus: Corpus) -> list[str]:
    return [replace(scene, place=None).caption() for scene in corpus.scenes]


def _tokens(tokenizer, captions: list[str], device: str) -> Tensor:
    return tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(device)


def _draw_captions(tokens: list[Tensor], index: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids (B, L): the place left open in OPEN_SHARE of the captions, CAPTION_DROPOUT of them empty."""
    stated, left_open, empty = tokens
    luck = torch.rand(len(index), 1, device=index.device, generator=generator)
    ids = torch.where(luck < OPEN_SHARE, left_open[index], stated[index])
    return torch.where(luck > 1 - CAPTION_DROPOUT, empty, ids)
