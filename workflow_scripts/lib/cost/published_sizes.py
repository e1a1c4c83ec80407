"""The sizes of the registry's models as the `config.json` files beside the published weights have them.

What is not said here is the default of the class, which follows the same model. `architectures` counts costs from these
numbers, and tests hold their parameters against the published ones.
"""

from __future__ import annotations

from typing import Any

Sizes = dict[str, Any]

CLIP_B32_TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8, "num_hidden_layers": 12}
CLIP_B32_VISION = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
CLIP_L_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
CLIP_L_VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
CLIP_H_TEXT = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24}
CLIP_H_VISION = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16, "num_hidden_layers": 32}
CLIP_G_TEXT = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32}
MODELSCOPE_TEXT = CLIP_H_TEXT | {"num_hidden_layers": 23}  # as Stable Diffusion 2's, without the last layer
CLIPS: dict[str, tuple[Sizes, Sizes, int]] = {
    "clip_vit_b32": (CLIP_B32_TEXT, CLIP_B32_VISION | {"patch_size": 32}, 512),
    "clip_vit_l14": (CLIP_L_TEXT, CLIP_L_VISION | {"patch_size": 14}, 768),
    "clip_vit_h14": (CLIP_H_TEXT, CLIP_H_VISION | {"patch_size": 14}, 1024),
}
"""Text and vision tower, width of the embedding."""
T5_XXL = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_heads": 64, "num_layers": 24, "vocab_size": 32128}
SIGLIP_B16 = {"image_size": 512, "patch_size": 16}

CROSS_DOWN, DOWN, CROSS_UP, UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
SD15_UNET: Sizes = {  # unet/config.json of stable-diffusion-v1-5
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, DOWN),
    "up_block_types": (UP, CROSS_UP, CROSS_UP, CROSS_UP),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SDXL_UNET: Sizes = {  # unet/config.json of stabilityai/stable-diffusion-xl-base-1.0
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": (DOWN, CROSS_DOWN, CROSS_DOWN),
    "up_block_types": (CROSS_UP, CROSS_UP, UP),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
UNET_3D: Sizes = {"sample_size": 32}  # unet/config.json of ali-vilab/text-to-video-ms-1.7b
SD15_VAE: Sizes = {  # vae/config.json of stable-diffusion-v1-5
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}
SDXL_VAE = SD15_VAE | {"scaling_factor": 0.13025, "force_upcast": False}  # config.json of sdxl-vae-fp16-fix
SD3_TRANSFORMER: Sizes = {  # transformer/config.json of stabilityai/stable-diffusion-3.5-medium
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "dual_attention_layers": tuple(range(13)),
    "qk_norm": "rms_norm",
}
SD3_VAE: Sizes = {  # vae/config.json
    "latent_channels": 16,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
