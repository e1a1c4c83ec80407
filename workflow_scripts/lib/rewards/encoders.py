"""Frozen feature encoders: one class per registry `class`, loaded offline; they and the scorers have one method.

`encode(images uint8 (B, H, W, 3), prompts=None)` -> dict of tensors: "features" (B, d), or one (B,) per metric.
Those of clips take (B, F, H, W, 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ..batches import FittingBatches
from ..errors import UserError
from ..overlap import ahead
from ..pickles import read_tensors
from ..pixels import Images, Preprocessing
from .tiny_features import TinyFeatureExtractor

if TYPE_CHECKING:
    from ..shards import Collection, Part

PICKLED = "pytorch_model.bin"  # transformers' weights where a repository has no safetensors
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Encoder(Protocol):
    """What images are encoded and scored with."""

    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Tensors on the CPU, float32, first dimension B."""


def load_encoder(entry: dict, device: str = "cpu", dtype: str = "float32") -> Encoder:
    """The feature encoder of a registry entry. UserError for an unknown class and for what `build_encoder` refuses.

    Scorers have their own `scorers.load_scorer`, so that an edit there does not make features stale.
    """
    from .clip import CLIPTokensWithText
    from .foundation import SiglipTokens, TimmTokens
    from .inception import InceptionFeatures
    from .video_encoders import FrameTokens, I3DFeatures, TinyClipFeatures, ViCLIPTokens

    of_images = (
        *(CLIPVisionTokens, CLIPTokensWithText, TimmTokens, SiglipTokens),
        *(CLIPImageEmbeddings, TinyFeatures, InceptionFeatures),
    )
    of_clips = (FrameTokens, ViCLIPTokens, TinyClipFeatures, I3DFeatures)
    classes = {found.__name__: found for found in of_images + of_clips}
    return build_encoder(classes, entry, device, dtype)


def build_encoder(classes: dict[str, type], entry: dict, device: str, dtype: str, **parts: Encoder) -> Encoder:
    """An instance of the entry's `class`, made from its verified source, its processor and its parts.

    Classes take (folder, device, dtype), or the file where the source is a single one, and, where the entry has them,
    `processor`, the folder of tokenizer and image processor, `metadata`, a file that says what prompts ask for, and its
    options; those without a source take their parts and options only. UserError for an unknown class, a missing or
    damaged model, and half precision on a CPU (8x slower than float32 there).
    """
    from ..models import part_of, resolve_processor, resolve_weights

    if entry["class"] not in classes:
        raise UserError(f"class '{entry['class']}' is not one of: {', '.join(classes)}")
    if dtype not in DTYPES or (dtype != "float32" and torch.device(device).type == "cpu"):
        raise UserError(f"dtype '{dtype}' on {device}: use float32 on a CPU, one of {', '.join(DTYPES)} on a GPU")
    others = entry.get("options", {}) | parts
    if "source" not in entry:
        return classes[entry["class"]](**others)
    if processor := resolve_processor(entry):
        others["processor"] = processor
    if "metadata" in entry:
        others["metadata"] = resolve_weights(part_of(entry, "metadata"))
    return classes[entry["class"]](resolve_weights(entry), device, DTYPES[dtype], **others)


def from_pretrained(
    model_class: type, folder: Path, device: str, dtype: torch.dtype, **options: object
) -> torch.nn.Module:
    """A transformers model from a local folder, frozen and in eval mode; UserError when the folder lacks weights.

    `options` are those of the class.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    how = {"local_files_only": True, "dtype": dtype, "output_loading_info": True}
    pickled = _pickled(model_class, Path(folder))
    model, info = model_class.from_pretrained(None if pickled else folder, **how, **pickled, **options)
    if info["missing_keys"]:
        raise UserError(
            f"{folder} holds no weights for {len(info['missing_keys'])} tensors of {model_class.__name__} "
            f"(first: {min(info['missing_keys'])}); it is another model or an incomplete download"
        )
    return model.eval().requires_grad_(False).to(device)


def _pickled(model_class: type, folder: Path) -> dict[str, object]:
    """What a model is made from whose folder has pickled weights only: their tensors and its configuration."""
    if any(folder.glob("*.safetensors*")) or not (folder / PICKLED).is_file():
        return {}
    config = model_class.config_class.from_pretrained(folder, local_files_only=True)
    return {"config": config, "state_dict": read_tensors(folder / PICKLED)}


class CLIPVisionTokens:
    """[CLS ‖ mean of all tokens] of a CLIP vision transformer, before post_layernorm: rows 1-4 of Tab. 6 of GAN-RM."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        processor: Path | None = None,
    ) -> None:
        from transformers import CLIPVisionModel

        self.preprocess = Preprocessing.from_folder(processor or folder)
        self.model = from_pretrained(CLIPVisionModel, folder, device, dtype)
        self.width: int = self.model.config.hidden_size

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 2d)}: 1536 for ViT-B/32. The mean includes the CLS token, as the table is written."""
        return {"features": concatenate(self._all_tokens(images)).cpu()}

    @torch.no_grad()
    def tokens(self, images: Images) -> tuple[Tensor, Tensor]:
        """CLS (B, d) and patches (B, N, d), float32 on the model's device."""
        tokens = self._all_tokens(images)
        return tokens[:, 0], tokens[:, 1:]

    def _all_tokens(self, images: Images) -> Tensor:
        pixels = self.preprocess(images, self.model.device, self.model.dtype)
        return self.model(pixels).last_hidden_state.float()


def concatenate(tokens: Tensor) -> Tensor:
    """[CLS ‖ mean of all tokens, CLS included], (B, 2d), of tokens (B, L, d)."""
    return torch.cat([tokens[:, 0], tokens.mean(dim=1)], dim=1)


class CLIPImageEmbeddings:
    """Projected image embeddings of a CLIP, not normalised: the features of clean-fid's `clip_vit_b_32` (CLIP-FID)."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        from transformers import CLIPModel

        self.preprocess = Preprocessing.from_folder(folder)
        self.model = from_pretrained(CLIPModel, folder, device, dtype)

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, p)}: 512 for ViT-B/32."""
        pixels = self.preprocess(images, self.model.device, self.model.dtype)
        return {"features": self.model.get_image_features(pixels).pooler_output.float().cpu()}


class TinyFeatures:
    """Pooled features and class logits of a TinyFeatureExtractor, for the tiny Fréchet distance."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.model = TinyFeatureExtractor.from_pretrained(folder).requires_grad_(False).to(device, dtype)
        half = (0.5, 0.5, 0.5)
        self.preprocess = Preprocessing.square(self.model.config["image_size"], mean=half, std=half)
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 64), "logits_{head}": (B, classes) for every head}."""
        features, logits = self.model(self.preprocess(images, self.device, self.dtype))
        named = {"features": features} | {f"logits_{name}": value for name, value in logits.items()}
        return {name: value.float().cpu() for name, value in named.items()}


def encode_part(encoder: Encoder, part: Part, batch_size: int) -> dict[str, Tensor]:
    """`encode` of all images of a part in the order of its index; the next batch is decoded meanwhile."""
    from ..progress import progress

    batch_size = max(1, batch_size // (part.frames or 1))  # images at once; a clip counts as its frames
    fitting = FittingBatches(batch_size, "images", "--batch-size")
    outputs = []
    for images, prompts in progress(ahead(batches_of(part, batch_size)), -(-part.count // batch_size), "encode"):
        found = fitting.map(lambda batch, i=images, p=prompts: encoder.encode(i[batch], p[batch]), len(prompts))
        outputs += [output for _, output in found]
    if not outputs:
        raise UserError("the part lists no images; remake it")
    return {name: torch.cat([output[name] for output in outputs]) for name in outputs[0]}


def batches_of(part: Collection, batch_size: int) -> Iterator[tuple[Images, list[str]]]:
    """Images, uint8 (B, H, W, 3) or a list where their shapes differ, or clips (B, F, H, W, 3), and their prompts."""
    images = part.images(threads=torch.get_num_threads())
    while batch := list(islice(images, batch_size)):
        rows, arrays = zip(*batch, strict=True)
        same = len({array.shape for array in arrays}) == 1
        yield np.stack(arrays) if same else list(arrays), [row.prompt for row in rows]
