"""The networks of the registry at their true size, as their published configurations have them, with random weights.

`NETWORKS` names them with the number of parameters that is published and where. Built under `torch.device("meta")`
they cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from workflow_scripts.lib.cost import published_sizes as sizes
from workflow_scripts.lib.rewards.i3d import I3D
from workflow_scripts.lib.rewards.image_reward import ORIGINAL_CONFIG, ImageRewardModel
from workflow_scripts.lib.rewards.viclip import ViCLIPVision

SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}

SWIN_S = {"depths": [2, 2, 18, 2], "embed_dim": 96, "num_heads": [3, 6, 12, 24], "window_size": 7}


def unet_2d(**config) -> nn.Module:
    """diffusers' UNet of images."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**config)


def unet_3d() -> nn.Module:
    """The UNet of ModelScope."""
    from diffusers import UNet3DConditionModel

    return UNet3DConditionModel(**sizes.UNET_3D)


def videocrafter_unet() -> nn.Module:
    """VideoCrafter2's UNet as it is published: the same with an embedding of the frame rate."""
    from diffusers.models.embeddings import TimestepEmbedding

    unet = unet_3d()
    width = unet.config.block_out_channels[0]
    unet.fps_embedding = TimestepEmbedding(width, 4 * width)
    return unet


def sd3_transformer(**changes) -> nn.Module:
    """The MMDiT-X of SD3.5 Medium."""
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(**sizes.SD3_TRANSFORMER | changes)


def vae(**config) -> nn.Module:
    """A VAE of four levels."""
    from diffusers import AutoencoderKL

    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(**config, down_block_types=down, up_block_types=up)


def qwen_image_transformer() -> nn.Module:
    """Qwen-Image's MMDiT, whose sizes are diffusers' defaults."""
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel()


def clip_text(size: dict, activation: str = "quick_gelu", projected: bool = False) -> nn.Module:
    """A text encoder of CLIP, with its projection or without."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    config = {"projection_dim": size["hidden_size"], "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    return kind(CLIPTextConfig(**size, **config, hidden_act=activation)).eval()


def t5_encoder(**changes) -> nn.Module:
    """The encoder of T5 v1.1 XXL."""
    from transformers import T5Config, T5EncoderModel

    kinds = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return T5EncoderModel(T5Config(**sizes.T5_XXL | changes, **kinds)).eval()


def clip(name: str, activation: str = "quick_gelu") -> nn.Module:
    """A CLIP of images of 224 pixels."""
    from transformers import CLIPConfig, CLIPModel

    text, vision, width = sizes.CLIPS[name]
    more = {"projection_dim": width, "hidden_act": activation}
    return CLIPModel(CLIPConfig(text_config=text | more, vision_config=vision | more, projection_dim=width)).eval()


def clip_b32() -> nn.Module:
    """OpenAI's ViT-B/32."""
    return clip("clip_vit_b32")


def clip_l14() -> nn.Module:
    """OpenAI's ViT-L/14."""
    return clip("clip_vit_l14")


def clip_h14() -> nn.Module:
    """LAION's ViT-H/14 in transformers' form, as PickScore has it."""
    return clip("clip_vit_h14", "gelu")


def open_clip_h14() -> nn.Module:
    """LAION's ViT-H/14 in open_clip's form, as HPSv2 has it."""
    import open_clip

    return open_clip.CLIP(**open_clip.get_model_config("ViT-H-14")).eval()


def image_reward() -> nn.Module:
    """ImageReward's BLIP and MLP."""
    return ImageRewardModel(ORIGINAL_CONFIG).eval()


def dinov2() -> nn.Module:
    """timm's DINOv2 ViT-B/14 at 518 pixels."""
    import timm

    return timm.create_model("vit_base_patch14_dinov2", pretrained=False, num_classes=0).eval()


def dino() -> nn.Module:
    """DINO ViT-B/16."""
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig(layer_norm_eps=1e-12), add_pooling_layer=False).eval()


def siglip(vision: dict, text: dict) -> nn.Module:
    """Google's SigLIP, image and text."""
    from transformers import SiglipConfig, SiglipModel

    return SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).eval()


def siglip_b16() -> nn.Module:
    """SigLIP ViT-B/16 at 512 pixels."""
    return siglip(sizes.SIGLIP_B16, {})


def siglip_so400m() -> nn.Module:
    """SigLIP SO400M/14 at 384 pixels."""
    return siglip(SO400M | {"image_size": 384, "patch_size": 14}, SO400M | {"projection_size": 1152})


def inception() -> nn.Module:
    """The Inception-v3 of FID, whose classifier has 1,008 classes."""
    from torchvision.models import inception_v3

    return inception_v3(num_classes=1008, aux_logits=False, init_weights=False).eval()


def mask2former() -> nn.Module:
    """Mask2Former on Swin-S for the 80 classes of COCO's instances."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    swin = SwinConfig(**SWIN_S, drop_path_rate=0.3, out_features=stages)
    return Mask2FormerForUniversalSegmentation(Mask2FormerConfig(backbone_config=swin, num_labels=80)).eval()


def alexnet() -> nn.Module:
    """torchvision's AlexNet, whose convolutions LPIPS reads."""
    from torchvision.models import alexnet

    return alexnet(weights=None)


@dataclass(frozen=True)
class Network:
    """A network, its published number of parameters, that number's last digit, and where it is published.

    `buffers`: whether the published number counts tables that are saved but not trained.
    """

    title: str
    build: Callable[[], nn.Module]
    published: int
    to: int
    where: str
    buffers: bool = False

    @property
    def shown(self) -> str:
        """The published number in millions or billions, with the digits that count."""
        unit, name = (10**9, "B") if self.published >= 10**9 else (10**6, "M")
        digits = max(0, round(math.log10(unit / self.to)))
        return f"{self.published / unit:.{digits}f} {name}"

    def parameters(self, module: nn.Module) -> int:
        """Numbers in the module, counted as published."""
        tensors = module.state_dict().values() if self.buffers else module.parameters()
        return sum(tensor.numel() for tensor in tensors)


def _mb(size: float, width: int = 4) -> int:
    """Numbers in a file of so many megabytes."""
    return round(size * 1e6 / width)


PROFILE = "open_clip's model_profile.csv"
NETWORKS = {
    "sd15_unet": Network("SD1.5 UNet", lambda: unet_2d(**sizes.SD15_UNET), 860_000_000, 10**6, "model card: 860M UNet"),
    "sd15_text": Network(
        "SD1.5 text encoder", lambda: clip_text(sizes.CLIP_L_TEXT), 123_000_000, 10**6, "model card: 123M text encoder"
    ),
    "sd15_vae": Network("SD1.5 VAE", lambda: vae(**sizes.SD15_VAE), _mb(334.6), 10**5, "size of the file: 334.6 MB"),
    "sdxl_unet": Network(
        "SDXL UNet", lambda: unet_2d(**sizes.SDXL_UNET), 2_600_000_000, 10**8, "arXiv 2307.01952, Tab. 1"
    ),
    "sdxl_text_2": Network(
        "SDXL text encoder 2 (bigG)",
        lambda: clip_text(sizes.CLIP_G_TEXT, "gelu", projected=True),
        694_660_000,
        10**4,
        f"{PROFILE}: ViT-bigG-14, text",
    ),
    "sd3_transformer": Network(
        "SD3.5-M transformer", sd3_transformer, 2_500_000_000, 10**8, "announcement: 2.5 billion", buffers=True
    ),
    "sd3_vae": Network("SD3.5-M VAE", lambda: vae(**sizes.SD3_VAE), _mb(167.7, 2), 10**5, "size of the file: 167.7 MB"),
    "t5_xxl": Network("T5-XXL encoder", t5_encoder, 4_762_000_000, 10**6, "size of the files: 9.52 GB in half"),
    "videocrafter2": Network(
        "VideoCrafter2 UNet", videocrafter_unet, 1_413_000_000, 10**7, "size of the file: 5.65 GB"
    ),
    "modelscope_text": Network(
        "ModelScope text encoder (H)",
        lambda: clip_text(sizes.MODELSCOPE_TEXT, "gelu"),
        340_000_000,
        10**6,
        "Stable Diffusion 2's text encoder, the same: 340M",
    ),
    "qwen_image": Network(
        "Qwen-Image transformer", qwen_image_transformer, 20_000_000_000, 10**9, "arXiv 2508.02324: 20B"
    ),
    "clip_b32": Network("CLIP ViT-B/32", clip_b32, 151_280_000, 10**4, PROFILE),
    "clip_l14": Network("CLIP ViT-L/14", clip_l14, 427_620_000, 10**4, PROFILE),
    "clip_h14": Network("CLIP ViT-H/14 (transformers)", clip_h14, 986_110_000, 10**4, PROFILE),
    "open_clip_h14": Network("CLIP ViT-H/14 (open_clip)", open_clip_h14, 986_110_000, 10**4, PROFILE),
    "image_reward": Network("ImageReward (BLIP-L)", image_reward, _mb(1790), 10**7, "size of the file: 1.79 GB"),
    "dinov2": Network("DINOv2 ViT-B/14", dinov2, 86_600_000, 10**5, "timm's model card: 86.6M"),
    "dino": Network("DINO ViT-B/16", dino, 85_800_000, 10**5, "timm's model card: 85.8M"),
    "siglip_b16": Network("SigLIP ViT-B/16 (512 px)", siglip_b16, 203_790_000, 10**4, PROFILE),
    "siglip_so400m": Network("SigLIP SO400M/14 (384 px)", siglip_so400m, 877_960_000, 10**4, PROFILE),
    "viclip": Network("ViCLIP ViT-B/16, vision", ViCLIPVision, 86_000_000, 10**6, "CLIP ViT-B/16's vision tower: 86M"),
    "inception": Network("Inception-v3 (FID)", inception, 23_900_000, 10**5, "size of the file: 95.6 MB"),
    "i3d": Network("I3D (RGB)", I3D, 12_700_000, 10**5, "size of the file: 50.9 MB"),
    "mask2former": Network("Mask2Former (Swin-S)", mask2former, 69_000_000, 10**6, "arXiv 2112.01527, Tab. 1: 69M"),
    "alexnet": Network("AlexNet (LPIPS)", alexnet, 61_100_000, 10**5, "torchvision: 61.1M"),
}
