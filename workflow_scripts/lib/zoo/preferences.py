"""Synthetic human-like preferences and the scorers trained on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .clip import build_image_processor, normalise
from .corpus import Corpus
from .optimise import minimise


@dataclass(frozen=True)
class Taste:
    """A crowd of annotators: weights of right content and picture quality, how often it disagrees (temperature)."""

    content: float
    quality: float
    temperature: float = 0.25
    mistake_share: float = 0.4


# Each scorer learns from its own crowd, with its own seed and data.
TASTES = {"pickscore": Taste(1.0, 1.0), "hps": Taste(0.7, 1.3), "imagereward": Taste(1.3, 0.7)}


@dataclass
class Preferences:
    """A batch of comparisons: captions, two images each (B, 3, 32, 32) in [0, 1], whether the first won (B,) 0/1."""

    captions: list[str]
    first: Tensor
    second: Tensor
    first_preferred: Tensor


def draw_preferences(
    corpus: Corpus, taste: Taste, batch: int, generator: torch.Generator, rng: np.random.Generator
) -> Preferences:
    """Two pictures of a caption, either possibly of something else, compared by a Bradley-Terry annotator."""
    asked = corpus.draw_scenes(batch, generator)
    images, utilities = [], []
    for _ in range(2):
        wrong = torch.rand(batch, device=corpus.device, generator=generator) < taste.mistake_share
        shown = torch.where(wrong, _mistaken(corpus, asked, generator, rng), asked)
        spoilt = corpus.draw_spoils(batch, 0.35, generator)
        images.append(corpus.draw_images(shown, spoilt, generator))
        utilities.append(taste.content * (~wrong) + taste.quality * spoilt.quality())
    probability = torch.sigmoid((utilities[0] - utilities[1]) / taste.temperature)
    preferred = (torch.rand(batch, device=corpus.device, generator=generator) < probability).float()
    return Preferences(corpus.captions(asked, rng, open_share=0.0), *images, preferred)


def _mistaken(corpus: Corpus, asked: Tensor, generator: torch.Generator, rng: np.random.Generator) -> Tensor:
    """Scenes that are not what was asked for: half of them differ in one attribute, half are others altogether."""
    near, far = corpus.swap_one_attribute(asked, rng), corpus.draw_scenes(len(asked), generator)
    return torch.where(torch.rand(len(asked), device=corpus.device, generator=generator) < 0.5, near, far)


def train_scorer(
    corpus: Corpus, score, parameters, taste: Taste, steps: int, batch: int, seed: int, learning_rate: float, desc: str
) -> None:
    """Bradley-Terry training of `score(captions, pixel_values (B, 3, 32, 32)) -> (B,)` on fresh comparisons."""
    generator, rng = torch.Generator(corpus.device).manual_seed(seed), np.random.default_rng(seed)
    processor = build_image_processor()

    def loss_of_step(step: int) -> Tensor:
        batch_of = draw_preferences(corpus, taste, batch, generator, rng)
        pixels = normalise(torch.cat([batch_of.first, batch_of.second]), processor)
        first, second = score(batch_of.captions * 2, pixels).chunk(2)
        return F.binary_cross_entropy_with_logits(first - second, batch_of.first_preferred)

    minimise(parameters, loss_of_step, steps, learning_rate, desc)


@torch.no_grad()
def agreement(corpus: Corpus, score, taste: Taste, seed: int = 12345) -> float:
    """Share of fresh comparisons in which the scorer prefers what the annotator preferred."""
    generator, rng = torch.Generator(corpus.device).manual_seed(seed), np.random.default_rng(seed)
    batch_of = draw_preferences(corpus, taste, 1024, generator, rng)
    pixels = normalise(torch.cat([batch_of.first, batch_of.second]), build_image_processor())
    first, second = score(batch_of.captions * 2, pixels).chunk(2)
    return ((first > second) == batch_of.first_preferred.bool()).float().mean().item()
