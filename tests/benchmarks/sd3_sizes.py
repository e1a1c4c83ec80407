"""Random models of the true classes for an epoch of Adv-GRPO, made on the device: SD3.5-Medium's sizes and small ones.

Settings are those of the paper's scale for its run with a DINO discriminator; a size says what it changes.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workflow_scripts.lib.cost.published_sizes import CLIP_G_TEXT, CLIP_L_TEXT, SD3_TRANSFORMER, SD3_VAE
from workflow_scripts.lib.models import resolve_folder
from workflow_scripts.lib.spec import load_config
from workflow_scripts.lib.training.settings import GRPOSettings, OptimiserSettings
from workflow_scripts.lib.zoo.stable_diffusion_3 import build_scheduler_3

if TYPE_CHECKING:
    from diffusers import StableDiffusion3Pipeline

config = functools.cache(load_config)
RUN, SCALE = "advgrpo_dino", "paper"
CLIP_TOKENS = 77
GAIN = 3**0.5  # PyTorch draws weights that lose this factor in each layer: gates near zero would hide the attention


@dataclass(frozen=True)
class Size:
    """Of an SD3 without T5, of images of `pixels` a side and of a DINOv2; and changes to the paper's settings."""

    transformer: dict[str, Any]
    vae: dict[str, Any]
    texts: tuple[dict[str, int], dict[str, int]]
    foundation: dict[str, int]
    pixels: int
    grpo: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float16"  # of the discriminator's network, as at the paper's scale

    def settings(self, groups: int | None = None) -> tuple[GRPOSettings, OptimiserSettings]:
        """Those of one generator epoch of `groups`. Without moving average: two updates would not move it."""
        run, epoch = config().run(RUN, SCALE), {"generator_epochs": 1} | self.grpo
        training = {"ema_decay": None, "checkpoint_seconds": 1e9} | self.training
        if groups is not None:
            epoch["groups_per_epoch"] = groups
        return GRPOSettings(**run["grpo"] | epoch), OptimiserSettings(**run["training"] | training)


SIZES = {
    "true": Size(SD3_TRANSFORMER, SD3_VAE, (CLIP_L_TEXT, CLIP_G_TEXT), {}, 512, {"groups_per_epoch": 4}),
    "small": Size(
        SD3_TRANSFORMER
        | {"sample_size": 8, "in_channels": 4, "out_channels": 4, "num_layers": 2, "attention_head_dim": 16}
        | {"num_attention_heads": 2, "joint_attention_dim": 96, "caption_projection_dim": 32}
        | {"pooled_projection_dim": 96, "pos_embed_max_size": 8, "dual_attention_layers": (0,)},
        SD3_VAE | {"latent_channels": 4, "block_out_channels": (8, 8, 8), "norm_num_groups": 4},
        tuple(
            {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2, "num_hidden_layers": 2}
            for width in (32, 64)
        ),
        {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 56},
        32,
        {"groups_per_epoch": 2, "group_size": 4, "micro_batch_size": 2, "sampling_steps": 4},
        {"mixed_precision": "no", "lora_rank": 4, "lora_alpha": 8},
        "float32",
    ),
}
"""`true` takes 4 of the 48 groups of an epoch: 64 images."""


def discriminator_recipe() -> dict[str, Any]:
    """The paper's discriminator on DINOv2."""
    return config().discriminator(config().run(RUN, SCALE)["discriminator"], SCALE)


def random_pipeline(size: Size, device: torch.device, seed: int = 0) -> StableDiffusion3Pipeline:
    """An SD3 pipeline of random float32 weights, made where it is to run; T5, which is left out, gives zeros."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    words = tokenizer()
    torch.manual_seed(seed)
    with torch.device(device):
        transformer = SD3Transformer2DModel(**size.transformer)
        vae = random_vae(size.vae)
        first, second = (text_encoder(sizes, words, CLIPTextModelWithProjection) for sizes in size.texts)
    with torch.no_grad():
        for weight in (one for one in transformer.parameters() if one.ndim > 1):
            weight.mul_(GAIN)
    pipeline = StableDiffusion3Pipeline(
        transformer=transformer.eval(),
        scheduler=build_scheduler_3(),
        vae=vae,
        text_encoder=first,
        tokenizer=words,
        text_encoder_2=second,
        tokenizer_2=words,
        text_encoder_3=None,
        tokenizer_3=None,
    )
    tokens = config().model("sd3", SCALE)["sampling"]["max_sequence_length"]
    pipeline.encode_prompt = functools.partial(pipeline.encode_prompt, max_sequence_length=tokens)
    return pipeline


def save_random_dinov2(size: Size, folder: Path, device: torch.device, seed: int = 0) -> None:
    """timm's DINOv2 B/14, or a smaller one, in a folder as the hub's."""
    import timm
    from timm.models import save_for_hf

    torch.manual_seed(seed)
    with torch.device(device):
        model = timm.create_model("vit_base_patch14_dinov2", pretrained=False, num_classes=0, **size.foundation)
    with torch.no_grad():
        for parameter in model.parameters():  # a new one scales what its blocks add by 1e-5
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_for_hf(model, folder, model_args=size.foundation, safe_serialization=True)


def random_vae(sizes: dict[str, Any]):
    """An AutoencoderKL, on the device that is the default."""
    from diffusers import AutoencoderKL

    levels = len(sizes["block_out_channels"])
    down, up = ("DownEncoderBlock2D",) * levels, ("UpDecoderBlock2D",) * levels
    return AutoencoderKL(**sizes, down_block_types=down, up_block_types=up).eval()


def tokenizer():
    """The tiny SD3's words; the embeddings have CLIP's true size all the same."""
    from transformers import CLIPTokenizer

    folder = resolve_folder(config().model("sd3", "tiny"))
    return CLIPTokenizer.from_pretrained(folder / "tokenizer", model_max_length=CLIP_TOKENS)


def text_encoder(sizes: dict[str, int], words, kind: type):
    """A CLIP text model of transformers' class `kind`, on the device that is the default."""
    from transformers import CLIPTextConfig

    special = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return kind(CLIPTextConfig(**sizes, projection_dim=sizes["hidden_size"], **special)).eval()
