"""The extractor behind the Fréchet distance of the tiny world: a small CNN that names what it sees and how it looks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..rewards.tiny_features import TinyFeatureExtractor
from ..world.prompts import KIND_WEIGHTS
from ..world.vocabulary import BACKGROUNDS, SPRITES
from .corpus import QUALITY_WORDS, Corpus, Spoilt
from .optimise import minimise

HEADS = {
    "background": tuple(BACKGROUNDS),
    "sprite": (*SPRITES, "none"),
    "kind": tuple(KIND_WEIGHTS),
    "look": QUALITY_WORDS,
}


def train_extractor(corpus: Corpus, steps: int, batch: int, seed: int) -> TinyFeatureExtractor:
    """Classify background, first sprite, kind of scene and look of spoilt renderings."""
    torch.manual_seed(seed)
    model = TinyFeatureExtractor({"heads": {name: len(classes) for name, classes in HEADS.items()}}).to(corpus.device)
    generator, content = torch.Generator(corpus.device).manual_seed(seed), _content(corpus)

    def loss_of_step(step: int) -> Tensor:
        images, labels = _draw(corpus, content, batch, generator)
        _, logits = model(2 * images - 1)
        return sum(F.cross_entropy(logits[name], labels[name]) for name in HEADS)

    minimise(model.parameters(), loss_of_step, steps, 2e-3, "extractor")
    return model.eval()


@torch.no_grad()
def accuracy(model: TinyFeatureExtractor, corpus: Corpus, seed: int = 1) -> dict[str, float]:
    """Share of fresh spoilt renderings that each head names right."""
    images, labels = _draw(corpus, _content(corpus), 1024, torch.Generator(corpus.device).manual_seed(seed))
    _, logits = model(2 * images - 1)
    return {name: (logits[name].argmax(1) == labels[name]).float().mean().item() for name in HEADS}


def _content(corpus: Corpus) -> dict[str, Tensor]:
    """Labels of every scene, (scenes,)."""
    labels = {
        "background": [HEADS["background"].index(scene.background) for scene in corpus.scenes],
        "sprite": [HEADS["sprite"].index(scene.nouns[0] if scene.nouns else "none") for scene in corpus.scenes],
        "kind": [HEADS["kind"].index(scene.kind) for scene in corpus.scenes],
    }
    return {name: torch.tensor(values, device=corpus.device) for name, values in labels.items()}


def _draw(
    corpus: Corpus, content: dict[str, Tensor], batch: int, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    index = corpus.draw_scenes(batch, generator)
    spoilt: Spoilt = corpus.draw_spoils(batch, 0.35, generator)
    looks = torch.tensor([QUALITY_WORDS.index(word) for word in spoilt.words()], device=corpus.device)
    return corpus.draw_images(index, spoilt, generator), {name: values[index] for name, values in content.items()} | {
        "look": looks
    }
