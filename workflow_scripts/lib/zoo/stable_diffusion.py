"""The tiny SD1.5-class pipeline: epsilon-prediction UNet on the VAE's latents, a CLIP text encoder trained along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..training.noise import draw_timesteps, noise_schedule, targets
from ..world.quality import CRISP_SHARE
from .corpus import Corpus
from .optimise import ExponentialAverage, minimise
from .tokenizer import MAX_LENGTH

CHANNELS = (48, 80)
CAPTION_DROPOUT = 0.1
OPEN_SHARE = 0.4
WIDTH = 96


def text_config(tokenizer, width: int):
    """Configuration of a CLIP text encoder of two layers for the world's captions."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_text_encoder(tokenizer):
    """A CLIP text model; its weights are trained with the UNet and frozen from then on."""
    from transformers import CLIPTextModel

    return CLIPTextModel(text_config(tokenizer, WIDTH))


def build_unet(channels: tuple[int, ...], latent_channels: int, **others):
    """A UNet2DConditionModel on 8x8 latents with cross-attention at each level, unless `others` say otherwise."""
    from diffusers import UNet2DConditionModel

    plain = {
        "sample_size": 8,
        "in_channels": latent_channels,
        "out_channels": latent_channels,
        "block_out_channels": channels,
        "down_block_types": ("CrossAttnDownBlock2D",) * len(channels),
        "up_block_types": ("CrossAttnUpBlock2D",) * len(channels),
        "layers_per_block": 1,
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**plain | others)


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


def train_stable_diffusion(corpus: Corpus, vae, tokenizer, steps: int, batch: int, seed: int):
    """Train UNet and text encoder on captions and images of mixed quality; returns a `StableDiffusionPipeline`."""
    from diffusers import StableDiffusionPipeline

    torch.manual_seed(seed)
    scheduler, text_encoder = build_scheduler(), build_text_encoder(tokenizer).to(corpus.device)
    unet = build_unet(CHANNELS, vae.config.latent_channels).to(corpus.device)

    def predict(noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        return unet(noisy, timesteps, text_encoder(tokens).last_hidden_state).sample

    modules = torch.nn.ModuleList([unet, text_encoder])
    fit_to_captions(modules, predict, corpus, vae, tokenizer, scheduler, steps, batch, seed, CRISP_SHARE)
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


def fit_to_captions(
    modules: torch.nn.ModuleList,
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    corpus: Corpus,
    vae,
    tokenizer,
    scheduler,
    steps: int,
    batch: int,
    seed: int,
    crisp_share: float,
) -> None:
    """Train `modules` so that `predict(noisy latents, timesteps, token ids)` is the noise, or flow matching's velocity.

    They end as moving averages. `crisp_share` of the images are crisp, the others spoilt; `scheduler` gives the noise
    schedule.
    """
    schedule = noise_schedule(scheduler)
    generator = torch.Generator(corpus.device).manual_seed(seed)
    tokens = caption_tokens(tokenizer, corpus)
    bank = encode_corpus(vae, corpus, generator, crisp_share)
    average = ExponentialAverage(modules, 0.999)

    def loss_of_step(step: int) -> Tensor:
        average.update()
        index = corpus.draw_scenes(batch, generator)
        latents = bank[torch.randint(len(bank), (batch,), device=corpus.device, generator=generator), index]
        noise = torch.randn(latents.shape, device=corpus.device, generator=generator)
        timesteps = draw_timesteps(schedule, batch, generator)
        noisy, target = schedule.add_noise(latents, noise, timesteps), targets(schedule, latents, noise, timesteps)
        return F.mse_loss(predict(noisy, timesteps, draw_captions(tokens, index, generator)), target)

    minimise(modules.parameters(), loss_of_step, steps, 1.5e-3, "denoiser")
    average.copy_to()


@torch.no_grad()
def encode_corpus(
    vae, corpus: Corpus, generator: torch.Generator, crisp_share: float = CRISP_SHARE, copies: int = 10
) -> Tensor:
    """Scaled latents (copies, scenes, C, 8, 8) of every scene.

    The first `crisp_share` of its copies are crisp, each other is spoilt in its own way.
    """
    num_scenes, bank = len(corpus.scenes), []
    for copy in range(copies):
        spoilt = corpus.draw_spoils(num_scenes, float(copy < crisp_share * copies), generator)
        images = 2 * corpus.draw_images(torch.arange(num_scenes, device=corpus.device), spoilt, generator) - 1
        bank.append(torch.cat([vae.encode(part).latent_dist.mean for part in images.split(256)]))
    return torch.stack(bank) * vae.config.scaling_factor


def caption_tokens(tokenizer, corpus: Corpus) -> list[Tensor]:
    """Token ids of each scene's caption (scenes, L), with place and style and without, and of the empty one (1, L)."""
    stated = [scene.caption() for scene in corpus.scenes]
    left_open = [replace(scene, place=None, style="colour").caption() for scene in corpus.scenes]
    return [
        tokenizer(captions, padding="max_length", return_tensors="pt").input_ids.to(corpus.device)
        for captions in (stated, left_open, [""])
    ]


def draw_captions(tokens: list[Tensor], index: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids (B, L): place and style left open in OPEN_SHARE of the captions, CAPTION_DROPOUT of them empty."""
    stated, left_open, empty = tokens
    luck = torch.rand(len(index), 1, device=index.device, generator=generator)
    ids = torch.where(luck < OPEN_SHARE, left_open[index], stated[index])
    return torch.where(luck > 1 - CAPTION_DROPOUT, empty, ids)
