"""ImageReward (Xu et al., arXiv 2304.05977): BLIP, whose text attends to the image, and an MLP on its first token."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..files import read_json, write_json
from ..pickles import read_tensors

MLP_SHARES = (4 / 3, 1 / 6, 1 / 12, 1 / 48)  # 1024, 128, 64, 16 of width 768
MLP_DROPOUT = (0.2, 0.2, 0.1, 0.0)

# The published ImageReward.pt: BLIP ViT-L/16 at 224 pixels and BERT-base with cross-attention (med_config.json).
ORIGINAL_CONFIG = {
    "vision": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 16,
        "layer_norm_eps": 1e-6,
    },
    "text": {"encoder_hidden_size": 1024, "num_attention_heads": 12, "vocab_size": 30524},
    "max_length": 35,
}
ORIGINAL_NAMES = (
    (r"^blip\.visual_encoder\.(cls_token)$", "vision.embeddings.class_embedding"),
    (r"^blip\.visual_encoder\.(pos_embed)$", "vision.embeddings.position_embedding"),
    (r"^blip\.visual_encoder\.patch_embed\.proj\.", "vision.embeddings.patch_embedding."),
    (r"^blip\.visual_encoder\.norm\.", "vision.post_layernorm."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.norm", r"vision.encoder.layers.\1.layer_norm"),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.attn\.qkv\.", r"vision.encoder.layers.\1.self_attn.qkv."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.attn\.proj\.", r"vision.encoder.layers.\1.self_attn.projection."),
    (r"^blip\.visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision.encoder.layers.\1.mlp."),
    (r"^blip\.text_encoder\.", "text."),
    (r"^mlp\.layers\.", "mlp."),
)


class ImageRewardModel(nn.Module):
    """`config`: vision (BlipVisionConfig), text (BlipTextConfig; encoder_hidden_size = vision width), max_length."""

    def __init__(self, config: dict) -> None:
        from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel

        super().__init__()
        self.config = {"max_length": 35} | config
        self.vision = BlipVisionModel(BlipVisionConfig(**config["vision"]))
        text = BlipTextConfig(**config["text"] | {"is_decoder": True})  # "decoder" adds the cross-attention
        self.text = BlipTextModel(text, add_pooling_layer=False)
        self.mlp = _mlp(text.hidden_size)

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Raw rewards (B,) of pixels (B, 3, h, w) under token ids and mask (B, L); `image_reward` normalises them."""
        image = self.vision(pixel_values).last_hidden_state
        seen = torch.ones(image.shape[:2], dtype=torch.long, device=image.device)
        states = self.text(
            input_ids, attention_mask=attention_mask, encoder_hidden_states=image, encoder_attention_mask=seen
        )
        return self.mlp(states.last_hidden_state[:, 0]).squeeze(1)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> ImageRewardModel:
        """Load `config.json` and `model.safetensors`, or else the published `ImageReward.pt`; eval mode."""
        from safetensors.torch import load_file

        folder = Path(folder)
        if (folder / "model.safetensors").exists():
            model = cls(read_json(folder / "config.json"))
            model.load_state_dict(load_file(folder / "model.safetensors"))
        elif (folder / "ImageReward.pt").exists():
            model = cls(ORIGINAL_CONFIG)
            model.load_state_dict(rename_original(read_tensors(folder / "ImageReward.pt")))
        else:
            raise UserError(f"{folder} holds neither model.safetensors nor ImageReward.pt; download the model again")
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors`."""
        from safetensors.torch import save_file

        Path(folder).mkdir(parents=True, exist_ok=True)
        write_json(Path(folder) / "config.json", self.config)
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, Path(folder) / "model.safetensors")


def rename_original(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of image-reward 1.5's modules under this module's names; what the score does not use is left out."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in ORIGINAL_NAMES:
            new, found = re.subn(pattern, replacement, name)
            if found and not new.endswith("position_ids"):
                renamed[new] = value
                break
    return renamed


def _mlp(width: int) -> nn.Sequential:
    """768 -> 1024 -> 128 -> 64 -> 16 -> 1 scaled by width; linear layers and dropout only, as published."""
    widths = [width, *(max(round(width * share), 1) for share in MLP_SHARES)]
    layers = []
    for i, dropout in enumerate(MLP_DROPOUT):
        layers.append(nn.Linear(widths[i], widths[i + 1]))
        layers += [nn.Dropout(dropout)] if dropout else []
    mlp = nn.Sequential(*layers, nn.Linear(widths[-1], 1))
    for name, parameter in mlp.named_parameters():
        nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=1 / (width + 1))
    return mlp
