"""CLIP models of transformers: embeddings for the scorers, and the features of a reward that reads the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import UserError
from ..pixels import Images, Preprocessing
from .encoders import concatenate, from_pretrained


class TransformersCLIP:
    """Unit image and text embeddings of a CLIPModel folder; tokenizer and preprocessor_config.json in `processor`."""

    def __init__(self, folder: Path, processor: Path, device: str, dtype: torch.dtype) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self.model = from_pretrained(CLIPModel, folder, "cpu", torch.float32)
        self.logit_scale = self.model.logit_scale.item()  # not rounded: it multiplies every score
        self.model.to(device, dtype)
        self.preprocess = Preprocessing.from_folder(processor)
        self.tokenizer = AutoTokenizer.from_pretrained(processor, local_files_only=True, trust_remote_code=False)
        self.device, self.dtype = device, dtype

    def image_embeddings(self, images: Images) -> Tensor:
        """(B, p) float32, unit length."""
        pixels = self.preprocess(images, self.device, self.dtype)
        return normalize(self.model.get_image_features(pixels).pooler_output.float(), dim=1)

    def text_embeddings(self, texts: list[str]) -> Tensor:
        """(B, p) float32, unit length; texts are cut at the model's positions (77 tokens for real models)."""
        length = self.model.config.text_config.max_position_embeddings
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
        tokens = tokens.to(self.device)
        features = self.model.get_text_features(tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return normalize(features.pooler_output.float(), dim=1)


class CLIPTokensWithText:
    """[CLS ‖ mean token] as GAN-RM's, and behind it how image and prompt agree: for a reward that reads the prompt."""

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        processor: Path | None = None,
    ) -> None:
        self.clip = TransformersCLIP(folder, processor or folder, device, dtype)

    @torch.inference_mode()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"features": (B, 2d + p)}: 2048 for ViT-B/32.

        The last p are the element-wise product of the unit image and text embeddings, times p: of the tokens' order of
        magnitude, and their mean is the cosine. UserError where an image has no prompt.
        """
        if not prompts or not all(prompts):
            raise UserError("a reward that reads the prompt needs a caption for every image, also for the proxies")
        vision = self.clip.model.vision_model(self.clip.preprocess(images, self.clip.device, self.clip.dtype))
        image = normalize(self.clip.model.visual_projection(vision.pooler_output).float(), dim=1)
        distinct = list(dict.fromkeys(prompts))
        row = {prompt: i for i, prompt in enumerate(distinct)}
        text = self.clip.text_embeddings(distinct)[[row[prompt] for prompt in prompts]]
        agreement = image * text * text.shape[1]
        return {"features": torch.cat([concatenate(vision.last_hidden_state.float()), agreement], dim=1).cpu()}
