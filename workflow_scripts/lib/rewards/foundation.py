"""Frozen vision foundation models behind one interface: a global token and all patch tokens of an image.

They are what a discriminator's head reads and what a similarity compares (arXiv 2511.20256, Sec. 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..errors import UserError
from ..pixels import Images, Preprocessing
from .encoders import concatenate, from_pretrained, load_encoder


class FoundationModel(Protocol):
    """A frozen vision model; `width` is d. `encoders.CLIPVisionTokens` is one, too."""

    width: int

    def tokens(self, images: Images) -> tuple[Tensor, Tensor]:
        """Global token (B, d) and patch tokens (B, N, d) of images uint8 (B, H, W, 3), float32 on the model's device.

        No gradient flows, and no other token (a register) is among the patches.
        """


class TokenEncoder:
    """Features of a foundation model, as GAN-RM reads CLIP's."""

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 2d)}: [global token ‖ mean of it and all patches]."""
        cls, patches = self.tokens(images)
        return {"features": concatenate(torch.cat([cls[:, None], patches], dim=1)).cpu()}


def load_foundation(entry: dict, device: str = "cpu", dtype: str = "float32") -> FoundationModel:
    """The foundation model of a registry entry. UserErrors: an encoder without patch tokens, and `load_encoder`'s."""
    model = load_encoder(entry, device, dtype)
    if not hasattr(model, "tokens"):
        raise UserError(
            f"'{entry.get('name', entry['class'])}' gives no patch tokens; take a vision transformer as dinov2_b14"
        )
    return model


class TimmTokens(TokenEncoder):
    """A vision transformer of timm from its folder (config.json, model.safetensors), such as DINOv2.

    The tokens are those of `forward_features`, behind the last norm.
    """

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        import timm
        from timm.data import resolve_model_data_config

        try:
            model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
        except (RuntimeError, OSError) as error:
            raise UserError(f"{folder} holds no whole model of timm ({error}); download the model again") from error
        data = resolve_model_data_config(model)
        self.preprocess = Preprocessing(data["input_size"][1:], None, data["mean"], data["std"], data["interpolation"])
        self.model = model.eval().requires_grad_(False).to(device, dtype)
        self.device, self.dtype, self.width = device, dtype, model.num_features

    @torch.no_grad()
    def tokens(self, images: Images) -> tuple[Tensor, Tensor]:
        """CLS (B, d) and patches (B, N, d): 768 and 1369 for DINOv2 B/14 at 518 pixels."""
        tokens = self.model.forward_features(self.preprocess(images, self.device, self.dtype)).float()
        return tokens[:, 0], tokens[:, self.model.num_prefix_tokens :]


class SiglipTokens(TokenEncoder):
    """The vision tower of a SigLIP folder: its attention-pooled output, and the patches that are pooled."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        from transformers import SiglipVisionModel

        self.model = from_pretrained(SiglipVisionModel, folder, device, dtype)
        self.preprocess = Preprocessing.from_folder(folder)
        self.width = self.model.config.hidden_size

    @torch.no_grad()
    def tokens(self, images: Images) -> tuple[Tensor, Tensor]:
        """Pooled output (B, d) and patches (B, N, d): 768 and 1024 for B/16 at 512 pixels."""
        output = self.model(self.preprocess(images, self.model.device, self.model.dtype))
        return output.pooler_output.float(), output.last_hidden_state.float()
