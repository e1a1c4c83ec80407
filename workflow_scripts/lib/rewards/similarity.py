"""How alike images and the reference images of their prompts are: cosine similarity of frozen features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import UserError
from ..overlap import ahead
from ..pixels import Images
from .encoders import batches_of
from .foundation import FoundationModel

if TYPE_CHECKING:
    from ..shards import Collection
    from .scorers import CosineScorer

PROMPTS_OF_A_BATCH = 16
REFERENCES_AT_ONCE = 32


class Similarity:
    """Mean cosine of an image's global feature to those of its prompt's references.

    Scored from files, `compare_with` gives the references, and a second column holds what the code of arXiv 2511.20256
    reports: the largest cosine to any reference of the same test batch, 16 prompts in the references' order. That one
    rises with the number of prompts in a batch.
    """

    metric: str

    def __init__(self) -> None:
        self._references: dict[str, Tensor] = {}
        self._compared: dict[str, Tensor] = {}
        self._batch_of: dict[str, list[str]] = {}

    def features(self, images: Images) -> Tensor:
        """Unit global features (B, d) of images uint8 (B, H, W, 3)."""
        raise NotImplementedError

    def compare_with(self, references: Collection) -> None:
        """Encode the references of every prompt, once."""
        found: dict[str, list[Tensor]] = {}
        for images, of_prompts in ahead(batches_of(references, REFERENCES_AT_ONCE)):
            for prompt, feature in zip(of_prompts, self.features(images), strict=True):
                found.setdefault(prompt, []).append(feature)
        self._references = {prompt: torch.stack(rows) for prompt, rows in found.items()}
        prompts = list(found)
        starts = range(0, len(prompts), PROMPTS_OF_A_BATCH)
        batches = [prompts[start : start + PROMPTS_OF_A_BATCH] for start in starts]
        self._batch_of = {prompt: batch for batch in batches for prompt in batch}

    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{metric: (B,), metric_batch_max: (B,)} of images uint8 (B, H, W, 3) under prompts that have references."""
        prompts = prompts or [""] * len(images)
        features, own = self.features(images), [self._of_prompt(prompt) for prompt in prompts]
        batches = [torch.cat([self._references[one] for one in self._batch_of[prompt]]) for prompt in prompts]
        largest = [(others @ feature).max() for feature, others in zip(features, batches, strict=True)]
        return {self.metric: mean_cosine(features, own).cpu(), f"{self.metric}_batch_max": torch.stack(largest).cpu()}

    def compare(self, images: Images, prompts: Sequence[str], references: Mapping[str, Images]) -> Tensor:
        """The metric (B,) of images against the references of their prompts, uint8 (R, H, W, 3) by prompt.

        They are encoded when their prompt is first seen: a prompt keeps its references.
        """
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._compared:
                self._compared[prompt] = self.features(references[prompt])
        return mean_cosine(self.features(images), [self._compared[prompt] for prompt in prompts])

    def _of_prompt(self, prompt: str) -> Tensor:
        if not self._references:
            raise UserError(
                f"{self.metric} compares with reference images: give the metric a `reference` in the scale's file"
            )
        if prompt not in self._references:
            raise UserError(
                f"{self.metric}: none of the {len(self._references)} prompts with reference images is {prompt!r}; "
                "make references of the prompt set that is scored"
            )
        return self._references[prompt]


def mean_cosine(features: Tensor, references: Sequence[Tensor]) -> Tensor:
    """Mean cosine (B,) of unit features (B, d) to each one's unit references (R, d)."""
    return torch.stack([(others @ feature).mean() for feature, others in zip(features, references, strict=True)])


class DINOSimilarity(Similarity):
    """By the CLS token of DINOv2 or of another vision transformer."""

    metric = "dino_similarity"

    def __init__(self, model: FoundationModel) -> None:
        super().__init__()
        self.model = model

    def features(self, images: Images) -> Tensor:
        return normalize(self.model.tokens(images)[0], dim=1)


class SigLIPSimilarity(DINOSimilarity):
    """By the pooled output of SigLIP."""

    metric = "siglip_similarity"


class ImageSimilarity(Similarity):
    """By the image embedding of CLIP, made with a scorer that has one: the similarity of Eq. 8 of arXiv 2511.20256."""

    metric = "image_similarity"

    def __init__(self, clip: CosineScorer) -> None:
        super().__init__()
        self.clip = clip.clip

    @torch.no_grad()
    def features(self, images: Images) -> Tensor:
        return self.clip.image_embeddings(images)
