"""The tiny AutoencoderKL: 32x32 pixels to 8x8x8 latents."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .corpus import Corpus
from .optimise import ExponentialAverage, minimise

LATENT_CHANNELS = 8
BLOCK_CHANNELS = (16, 32, 64)
NORM_GROUPS = 1  # one group keeps absolute colour, which normalising groups of channels apart loses
LEARNING_RATE = 2e-3
KL_WEIGHT = 1e-5
DETAIL_WEIGHT = 1.0
LOG_VARIANCE = -10.0


def train_vae(corpus: Corpus, steps: int, batch: int, seed: int):
    """The model, trained on clean and spoilt renderings with L1 on pixels and on their Laplacian.

    The Laplacian sees details, which are what quality is about.
    """
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=BLOCK_CHANNELS,
        layers_per_block=1,
        norm_num_groups=NORM_GROUPS,
        mid_block_add_attention=False,
    ).to(corpus.device, memory_format=torch.channels_last)
    generator = torch.Generator(corpus.device).manual_seed(seed)
    average = ExponentialAverage(vae, 0.99)

    def loss_of_step(step: int) -> Tensor:
        average.update()
        images = _draw(corpus, batch, generator)
        posterior = vae.encode(images).latent_dist
        output = vae.decode(posterior.sample()).sample
        detail = F.l1_loss(_laplacian(output), _laplacian(images))
        return F.l1_loss(output, images) + DETAIL_WEIGHT * detail + KL_WEIGHT * posterior.kl().mean()

    minimise(vae.parameters(), loss_of_step, steps, LEARNING_RATE, "vae")
    average.copy_to()
    sharpen_posterior(vae)
    _set_scaling_factor(vae, _draw(corpus, 4096, generator))
    return vae.eval()


@torch.no_grad()
def sharpen_posterior(vae) -> None:
    """Leave every latent a standard deviation of e^-5: samples of the posterior are its mean, as with SD's own VAE.

    Learned ones are nearly as wide as latents differ. The denoisers of the zoo learn means; examples of post-training
    are samples of the posterior, and with that much noise they would teach blotches.
    """
    channels = vae.config.latent_channels
    vae.quant_conv.weight[channels:] = 0
    vae.quant_conv.bias[channels:] = LOG_VARIANCE


def _draw(corpus: Corpus, batch: int, generator: torch.Generator) -> Tensor:
    """Images (B, 3, 32, 32) in [-1, 1], half of them crisp."""
    index = corpus.draw_scenes(batch, generator)
    return 2 * corpus.draw_images(index, corpus.draw_spoils(batch, 0.5, generator), generator) - 1


def _laplacian(images: Tensor) -> Tensor:
    """Discrete Laplacian of every channel."""
    middle = images[..., 1:-1, 1:-1]
    return images[..., :-2, 1:-1] + images[..., 2:, 1:-1] + images[..., 1:-1, :-2] + images[..., 1:-1, 2:] - 4 * middle


@torch.no_grad()
def _set_scaling_factor(vae, images: Tensor) -> None:
    """Scaled latents have unit standard deviation, as in latent diffusion."""
    latents = vae.encode(images).latent_dist.mean
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 5))


@torch.no_grad()
def reconstruction_psnr(vae, corpus: Corpus, seed: int = 1) -> dict[str, float]:
    """PSNR in dB of reconstructions of crisp and of spoilt renderings."""
    generator = torch.Generator(corpus.device).manual_seed(seed)
    index = corpus.draw_scenes(1024, generator)
    result = {}
    for name, crisp_share in (("crisp", 1.0), ("spoilt", 0.0)):
        images = corpus.draw_images(index, corpus.draw_spoils(len(index), crisp_share, generator), generator)
        output = vae.decode(vae.encode(2 * images - 1).latent_dist.mean).sample / 2 + 0.5
        result[name] = -10 * torch.log10(F.mse_loss(output.clamp(0, 1), images)).item()
    return result
