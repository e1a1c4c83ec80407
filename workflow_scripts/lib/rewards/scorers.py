"""Scorers of an image, most under its prompt: CLIPScore, PickScore, HPSv2, ImageReward; `load_scorer` knows all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..metrics.clipscore import caption, clip_score
from ..metrics.preference import hps_score, image_reward, pick_score
from ..pickles import read_tensors
from ..pixels import Images, Preprocessing
from .clip import TransformersCLIP
from .encoders import Encoder, build_encoder
from .image_reward import ImageRewardModel


def load_scorer(entry: dict, device: str = "cpu", dtype: str = "float32") -> Encoder:
    """The scorer of a registry entry, made with its parts: one (B,) tensor per metric. UserErrors: `build_encoder`."""
    from ..world.scorer import World, WorldGenEval, WorldStyle
    from ..world.video_scorer import WorldClips
    from .geneval_scorer import GenEval
    from .image_statistics import ImageStatistics
    from .ocr import OCR, PaddleOCRReader, RapidOCRReader
    from .safety import Q16, Inappropriate, NudeNet
    from .similarity import DINOSimilarity, ImageSimilarity, SigLIPSimilarity
    from .video_scorers import LPIPS, FeatureDistance, FrameConsistency

    known = (
        *(CLIPScore, PickScore, HPSv2, ImageReward, Q16, NudeNet, Inappropriate),
        *(OCR, RapidOCRReader, PaddleOCRReader, GenEval, DINOSimilarity, SigLIPSimilarity, ImageSimilarity),
        *(ImageStatistics, FrameConsistency, LPIPS, FeatureDistance, World, WorldGenEval, WorldStyle, WorldClips),
    )
    parts = {name: _load_part(part, device, dtype) for name, part in entry.get("parts", {}).items()}
    return build_encoder({found.__name__: found for found in known}, entry, device, dtype, **parts)


def _load_part(entry: dict, device: str, dtype: str) -> object:
    """A part of a scorer: another scorer, what reads text, or a vision model."""
    from .foundation import load_foundation

    load = load_foundation if entry.get("kind") == "encoder" else load_scorer
    return load(entry, device, dtype)


class OpenCLIP:
    """Unit embeddings as of TransformersCLIP, by an open_clip checkpoint: a `state_dict` in a .pt file, as HPSv2's."""

    def __init__(self, path: Path, architecture: str, device: str, dtype: torch.dtype) -> None:
        import open_clip

        self.model = open_clip.create_model(architecture, pretrained=None)
        self.model.load_state_dict(read_tensors(path))
        self.model = self.model.eval().requires_grad_(False).to(device, dtype)
        self.tokenizer = open_clip.get_tokenizer(architecture)
        self.preprocess = Preprocessing.square(open_clip.get_model_config(architecture)["vision_cfg"]["image_size"])
        self.device, self.dtype = device, dtype
        self.logit_scale = self.model.logit_scale.item()

    def image_embeddings(self, images: Images) -> Tensor:
        """(B, p) float32, unit length."""
        pixels = self.preprocess(images, self.device, self.dtype)
        return self.model.encode_image(pixels, normalize=True).float()

    def text_embeddings(self, texts: list[str]) -> Tensor:
        """(B, p) float32, unit length."""
        return self.model.encode_text(self.tokenizer(texts).to(self.device), normalize=True).float()


class CosineScorer:
    """A metric of the cosine between an image and its prompt; every distinct prompt is encoded once."""

    metric: str

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        processor: Path | None = None,
    ) -> None:
        self.clip = self.load_clip(folder, processor or folder, device, dtype)
        self._texts: dict[str, Tensor] = {}

    def load_clip(self, folder: Path, processor: Path, device: str, dtype: torch.dtype) -> TransformersCLIP | OpenCLIP:
        """The network that makes the embeddings."""
        return TransformersCLIP(folder, processor, device, dtype)

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{metric: (B,)} of images uint8 (B, H, W, 3) and B prompts."""
        texts = self._embedded([self.text(prompt) for prompt in _required(prompts, images, self.metric)])
        cosine = (self.clip.image_embeddings(images) * texts).sum(dim=1)
        return {self.metric: self.score(cosine).cpu()}

    def text(self, prompt: str) -> str:
        """What is encoded of a prompt."""
        return prompt

    def score(self, cosine: Tensor) -> Tensor:
        """The metric of cosines (B,)."""
        raise NotImplementedError

    def _embedded(self, texts: list[str]) -> Tensor:
        new = sorted(set(texts) - self._texts.keys())
        if new:
            self._texts |= zip(new, self.clip.text_embeddings(new), strict=True)
        return torch.stack([self._texts[text] for text in texts])


class CLIPScore(CosineScorer):
    """CLIPScore of Hessel et al. (arXiv 2104.08718): 2.5 · max(cos, 0), prompts behind "A photo depicts "."""

    metric = "clipscore"

    def text(self, prompt: str) -> str:
        return caption(prompt)

    def score(self, cosine: Tensor) -> Tensor:
        return clip_score(cosine)


class PickScore(CosineScorer):
    """PickScore: exp(logit_scale) · cos."""

    metric = "pickscore"

    def score(self, cosine: Tensor) -> Tensor:
        return pick_score(cosine, self.clip.logit_scale)


class HPSv2(CosineScorer):
    """HPSv2: the raw cosine, from an open_clip checkpoint of ViT-H-14 (as published) or from a CLIPModel folder."""

    metric = "hps"
    architecture = "ViT-H-14"

    def load_clip(self, folder: Path, processor: Path, device: str, dtype: torch.dtype) -> TransformersCLIP | OpenCLIP:
        if folder.is_file():
            return OpenCLIP(folder, self.architecture, device, dtype)
        return TransformersCLIP(folder, processor, device, dtype)

    def score(self, cosine: Tensor) -> Tensor:
        return hps_score(cosine)


class ImageReward:
    """ImageReward, normalised; the published folder has no tokenizer, so `processor` must hold bert-base-uncased's."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        processor: Path | None = None,
    ) -> None:
        from transformers import AutoTokenizer

        self.model = ImageRewardModel.from_pretrained(folder).requires_grad_(False).to(device, dtype)
        self.tokenizer = AutoTokenizer.from_pretrained(
            processor or folder, local_files_only=True, trust_remote_code=False
        )
        self.preprocess = Preprocessing.square(self.model.config["vision"]["image_size"])
        self.device, self.dtype = device, dtype

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"imagereward": (B,)} of images uint8 (B, H, W, 3) and B prompts, which are cut at 35 tokens."""
        texts = list(_required(prompts, images, "imagereward"))
        length = self.model.config["max_length"]
        tokens = self.tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        tokens = tokens.to(self.device)
        pixels = self.preprocess(images, self.device, self.dtype)
        raw = self.model(pixels, tokens["input_ids"], tokens["attention_mask"])
        return {"imagereward": image_reward(raw.float()).cpu()}


def _required(prompts: Sequence[str] | None, images: Images, metric: str) -> Sequence[str]:
    if prompts is None or len(prompts) != len(images):
        raise UserError(f"{metric} needs one prompt per image: {len(images)} images, {len(prompts or [])} prompts")
    return prompts
