"""ViCLIP's vision encoder (InternVid, arXiv 2307.06942): a CLIP ViT over the patches of all frames together.

Names are those of the published weights (OpenGVLab/ViCLIP-B-16-hf, `vision_encoder.…`), so they load as they are.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UserError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEAD_WIDTH = 64


class QuickGELU(nn.Module):
    """OpenAI's approximation of GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A residual block of CLIP's transformer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // HEAD_WIDTH, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        layers = {"c_fc": nn.Linear(width, 4 * width), "gelu": QuickGELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViCLIPVision(nn.Module):
    """Clips (B, 3, F, H, W), normalised, to tokens (B, 1 + F·patches, width) after ln_post; no token is masked."""

    def __init__(self, resolution: int = 224, patch: int = 16, width: int = 768, layers: int = 12, num_frames: int = 8):
        super().__init__()
        self.resolution, self.num_frames = resolution, num_frames
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), (1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((resolution // patch) ** 2 + 1, width))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(1, num_frames, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(Block(width) for _ in range(layers))})

    def forward(self, pixels: Tensor) -> Tensor:
        """Patches carry the embeddings of their place and frame; they are ordered by place, then by frame."""
        patches = self.conv1(pixels).flatten(3).permute(0, 3, 2, 1) + self.positional_embedding[1:, None]
        patches = (patches + self.temporal_positional_embedding).flatten(1, 2)
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(pixels), 1, -1)
        x = self.ln_pre(torch.cat([first, patches], dim=1))
        for block in self.transformer["resblocks"]:
            x = block(x)
        return self.ln_post(x)


def load_viclip(folder: Path) -> ViCLIPVision:
    """The vision encoder of a folder's model.safetensors, in eval mode; its size is read off the weights."""
    from safetensors.torch import load_file

    prefix = "vision_encoder."
    weights = load_file(folder / "model.safetensors")
    weights = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    weights.pop("proj", None)
    try:
        width, _, _, patch, _ = weights["conv1.weight"].shape
        side = round((len(weights["positional_embedding"]) - 1) ** 0.5)
        layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("transformer.resblocks."))
        frames = weights["temporal_positional_embedding"].shape[1]
        model = ViCLIPVision(side * patch, patch, width, layers, frames)
        model.load_state_dict(weights)
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{folder} does not hold ViCLIP's vision encoder ({error}); download it anew") from error
    return model.eval().requires_grad_(False)
