"""The published sizes of the registry's models, as networks without weights: what `flops` counts.

Sizes are those of `published_sizes`. `flops` calls everything on the meta device, where tensors have shapes and no
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, empty, nn

from .published_sizes import CLIPS, SD3_TRANSFORMER, SD15_UNET, SDXL_UNET, SIGLIP_B16, T5_XXL, UNET_3D, Sizes

if TYPE_CHECKING:
    from transformers import CLIPModel

CLIP_TOKENS, T5_TOKENS = 77, 128
QWEN_TOKENS = 64  # of a usual prompt; Qwen-Image pads to the longest of a batch
LORA_RANK = 32
VISION_PIXELS = 224
GENEVAL_PIXELS = 800  # shortest edge of Mask2Former's processor; images are square


def tokens(count: int) -> Tensor:
    """One text of `count` tokens."""
    return torch.zeros(1, count, dtype=torch.long)


def mask(count: int, seen: int) -> Tensor:
    """Attention of `count` tokens to all seen, spelled out: a mask of tokens would be looked into."""
    return empty(1, 1, count, seen)


# ---- generators: a denoiser and its call on one sample, text encoders, the VAE


def sd15() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """SD1.5's UNet on 512 x 512 pixels."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**SD15_UNET)
    return unet, lambda network: network(empty(1, 4, 64, 64), empty(1), empty(1, CLIP_TOKENS, 768)).sample


def sdxl() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """SDXL's UNet on 1024 x 1024 pixels."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**SDXL_UNET)

    def call(network: nn.Module) -> Tensor:
        added = {"text_embeds": empty(1, 1280), "time_ids": empty(1, 6)}
        text = empty(1, CLIP_TOKENS, 2048)
        return network(empty(1, 4, 128, 128), empty(1), text, added_cond_kwargs=added).sample

    return unet, call


def videocrafter2() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """VideoCrafter2's UNet, as the class that its published conversion has, on 16 frames of 320 x 512 pixels."""
    from diffusers import UNet3DConditionModel

    unet = UNet3DConditionModel(**UNET_3D)
    return unet, lambda network: network(empty(1, 4, 16, 40, 64), empty(1), empty(1, CLIP_TOKENS, 1024)).sample


def sd3() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """SD3.5-Medium's transformer on 512 x 512 pixels and 77 + 128 text tokens."""
    from diffusers import SD3Transformer2DModel

    transformer = SD3Transformer2DModel(**SD3_TRANSFORMER)
    text = empty(1, CLIP_TOKENS + T5_TOKENS, 4096), empty(1, 2048)
    return transformer, lambda network: network(empty(1, 16, 64, 64), *text, empty(1)).sample


def qwen_image() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Qwen-Image's transformer, which has the sizes of its class, on 512 x 512 pixels."""
    from diffusers import QwenImageTransformer2DModel

    def call(network: nn.Module) -> Tensor:
        text = {
            "encoder_hidden_states": empty(1, QWEN_TOKENS, 3584),
            "encoder_hidden_states_mask": torch.ones(1, QWEN_TOKENS, dtype=torch.bool),
        }
        return network(empty(1, 32 * 32, 64), timestep=empty(1), img_shapes=[[(1, 32, 32)]], **text).sample

    return QwenImageTransformer2DModel(), call


def autoencoder(sizes: Sizes) -> nn.Module:
    """The VAE of Stable Diffusion or SD3."""
    from diffusers import AutoencoderKL

    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    return AutoencoderKL(**sizes, down_block_types=down, up_block_types=up)


def autoencoder_qwen() -> nn.Module:
    """Qwen-Image's VAE, which has the sizes of its class; it takes clips."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage()


def clip_text(sizes: Sizes) -> Tensor:
    """A CLIP text encoder on one prompt."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(CLIPTextConfig(**sizes))(tokens(CLIP_TOKENS)).last_hidden_state


def t5_text() -> Tensor:
    """T5-XXL's encoder on one prompt, as SD3 has it."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(**T5_XXL, feed_forward_proj="gated-gelu"))(tokens(T5_TOKENS)).last_hidden_state


def qwen_text() -> Tensor:
    """The language model of Qwen2.5-VL 7B on one prompt; its layers are those of Qwen2.5 7B."""
    from transformers import Qwen2Config, Qwen2Model

    sizes = {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28}
    heads = {"num_attention_heads": 28, "num_key_value_heads": 4}
    return Qwen2Model(Qwen2Config(**sizes, **heads))(
        tokens(QWEN_TOKENS), mask(QWEN_TOKENS, QWEN_TOKENS), use_cache=False
    ).last_hidden_state


# ---- encoders and scorers of one image (or clip) and one text


def clip(name: str) -> CLIPModel:
    """A CLIP of CLIPS."""
    from transformers import CLIPConfig, CLIPModel

    text, vision, width = CLIPS[name]
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))


def clip_image(name: str) -> Tensor:
    """Its embedding of one image."""
    return clip(name).get_image_features(empty(1, 3, VISION_PIXELS, VISION_PIXELS)).pooler_output


def clip_prompt(name: str) -> Tensor:
    """Its embedding of one text."""
    return clip(name).get_text_features(tokens(CLIP_TOKENS)).pooler_output


def clip_tokens(name: str) -> Tensor:
    """What GAN-RM reads of an image, (1, 2d)."""
    from ..rewards.encoders import concatenate

    return concatenate(clip(name).vision_model(empty(1, 3, VISION_PIXELS, VISION_PIXELS)).last_hidden_state)


def image_reward() -> Tensor:
    """ImageReward of one image under one prompt."""
    from ..rewards.image_reward import ORIGINAL_CONFIG, ImageRewardModel

    model, length = ImageRewardModel(ORIGINAL_CONFIG), ORIGINAL_CONFIG["max_length"]
    image = model.vision(empty(1, 3, VISION_PIXELS, VISION_PIXELS)).last_hidden_state
    masks = {"attention_mask": mask(length, length), "encoder_attention_mask": mask(length, image.shape[1])}
    states = model.text(tokens(length), encoder_hidden_states=image, **masks).last_hidden_state
    return model.mlp(states[:, 0])


def inception() -> Tensor:
    """FID's Inception of one image; torchvision's has the layers of pytorch-fid's."""
    from torchvision.models import inception_v3

    model = inception_v3(weights=None, aux_logits=False, init_weights=False).eval()
    model.fc = nn.Identity()
    return model(empty(1, 3, 299, 299))


def i3d() -> Tensor:
    """I3D of one clip of 16 frames."""
    from ..rewards.i3d import I3D

    return I3D()(empty(1, 3, 16, VISION_PIXELS, VISION_PIXELS))


def viclip() -> Tensor:
    """What GAN-RM reads of one clip, (1, 2d)."""
    from ..rewards.encoders import concatenate
    from ..rewards.viclip import ViCLIPVision

    model = ViCLIPVision()
    return concatenate(model(empty(1, 3, model.num_frames, model.resolution, model.resolution)))


def dinov2(pixels: int = 518) -> Tensor:
    """Tokens of DINOv2 B/14 of one image."""
    import timm

    return timm.create_model("vit_base_patch14_dinov2", num_classes=0).forward_features(empty(1, 3, pixels, pixels))


def siglip() -> Tensor:
    """SigLIP B/16's pooled output of one image."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    pixels = SIGLIP_B16["image_size"]
    return SiglipVisionModel(SiglipVisionConfig(**SIGLIP_B16))(empty(1, 3, pixels, pixels)).pooler_output


def dino_frames(frames: int = 16) -> Tensor:
    """CLS tokens of DINO B/16 of a clip's frames."""
    from transformers import ViTConfig, ViTModel

    return ViTModel(ViTConfig())(empty(frames, 3, VISION_PIXELS, VISION_PIXELS)).last_hidden_state[:, 0]


def lpips(height: int = 320, width: int = 512) -> Tensor:
    """AlexNet's layers of the frames that LPIPS compares for one clip."""
    from torchvision.models import alexnet

    from ..rewards.video_scorers import FrameDistance

    return alexnet(weights=None).features(empty(2 * FrameDistance.PAIRS, 3, height, width))


def mask2former() -> Tensor:
    """GenEval's detector of one image: Swin-S, which is the class's own size, with COCO's 80 classes."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    model = Mask2FormerForUniversalSegmentation(Mask2FormerConfig(num_labels=80)).eval().to("meta")
    return model(empty(1, 3, GENEVAL_PIXELS, GENEVAL_PIXELS)).class_queries_logits
