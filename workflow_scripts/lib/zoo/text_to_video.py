"""The tiny text-to-video UNet: the tiny SD1.5's, given temporal layers and trained on clips, as ModelScope was made.

VAE, text encoder and noise schedule are those of the tiny SD1.5 and stay as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..world.quality import CRISP_SHARE
from .corpus import Corpus
from .optimise import ExponentialAverage, minimise
from .stable_diffusion import caption_tokens, draw_captions
from .videos import draw_clips, draw_motion

NUM_FRAMES = 3
HEAD_WIDTH = 8
NEW_LEARNING_RATE, LEARNING_RATE = 2e-3, 5e-4  # temporal layers begin from nothing, the others know the world


def build_unet(image_unet):
    """A UNet3DConditionModel that starts as `image_unet` on every frame: its temporal layers add nothing yet."""
    from diffusers import UNet3DConditionModel

    config = image_unet.config
    unet = UNet3DConditionModel(
        sample_size=config.sample_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.block_out_channels,
        down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"),
        layers_per_block=config.layers_per_block,
        cross_attention_dim=config.cross_attention_dim,
        attention_head_dim=HEAD_WIDTH,
        norm_num_groups=config.norm_num_groups,
    )
    own, given = unet.state_dict(), image_unet.state_dict()
    unet.load_state_dict({name: _fitting(given[name], own[name]) for name in own.keys() & given.keys()}, strict=False)
    for name, parameter in unet.named_parameters():
        if is_temporal(name) and "proj_out" in name:
            torch.nn.init.zeros_(parameter)
    return unet


def is_temporal(name: str) -> bool:
    """Whether a parameter belongs to a layer that an image model does not have."""
    return name.startswith(("transformer_in", "temp_")) or ".temp_" in name


def _fitting(weights: Tensor, like: Tensor) -> Tensor:
    """Projections are 1×1 convolutions in one network and linear in the other."""
    return weights.reshape(like.shape)


def train_text_to_video(corpus: Corpus, pipeline, steps: int, batch: int, seed: int):
    """Train the UNet on captions and clips of mixed quality; `pipeline` is the tiny SD1.5. Returns the UNet."""
    torch.manual_seed(seed)
    scheduler, unet = pipeline.scheduler, build_unet(pipeline.unet).to(corpus.device).eval()  # without dropout
    generator = torch.Generator(corpus.device).manual_seed(seed)
    tokens = caption_tokens(pipeline.tokenizer, corpus)
    average = ExponentialAverage(unet, 0.999)

    def loss_of_step(step: int) -> Tensor:
        average.update()
        index = corpus.draw_scenes(batch, generator)
        with torch.no_grad():
            latents = encode_clips(pipeline.vae, _draw(corpus, index, generator))
            states = pipeline.text_encoder(draw_captions(tokens, index, generator)).last_hidden_state
        noise = torch.randn(latents.shape, device=corpus.device, generator=generator)
        timesteps = torch.randint(1000, (batch,), device=corpus.device, generator=generator)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        return F.mse_loss(unet(noisy, timesteps, states).sample, noise)

    temporal, others = ([p for name, p in unet.named_parameters() if is_temporal(name) == new] for new in (True, False))
    groups = [{"params": temporal, "lr": NEW_LEARNING_RATE}, {"params": others}]
    minimise(groups, loss_of_step, steps, LEARNING_RATE, "text to video")
    average.copy_to()
    return unet


def _draw(corpus: Corpus, index: Tensor, generator: torch.Generator) -> Tensor:
    spoilt = corpus.draw_spoils(len(index), CRISP_SHARE, generator)
    return draw_clips(corpus, index, spoilt, draw_motion(len(index), NUM_FRAMES, generator), generator)


def encode_clips(vae, clips: Tensor) -> Tensor:
    """Clips (B, F, 3, H, W) in [0, 1] to scaled latents (B, C, F, h, w)."""
    latents = vae.encode(2 * clips.flatten(0, 1) - 1).latent_dist.mean * vae.config.scaling_factor
    return latents.unflatten(0, clips.shape[:2]).transpose(1, 2)
