"""The training corpus: every scene of the world at several blurs, on the training device, spoilt further on the fly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..world.prompts import KIND_WEIGHTS
from ..world.quality import BLUR_LEVELS, blur, wash
from ..world.render import render, to_uint8
from ..world.scenes import Scene, all_scenes, drawable_scenes
from ..world.vocabulary import SPRITES

MAX_WASH, MAX_NOISE = 0.6, 0.03
QUALITY_WORDS = ("crisp", "blurry", "pale")


@dataclass
class Spoilt:
    """How a batch's images were spoilt, each (B,): blur level (index), washed-out share, noise standard deviation."""

    blur: Tensor
    wash: Tensor
    noise: Tensor

    def quality(self) -> Tensor:
        """A plain measure of how good the images look, (B,) in (0, 1]: 1 for crisp ones."""
        sigma = torch.tensor(BLUR_LEVELS, device=self.blur.device)[self.blur]
        return torch.exp(-sigma) * (1 - self.wash) * (1 - 4 * self.noise)

    def words(self) -> list[str]:
        """One word for the look of each image."""
        crisp, pale = self.quality() > 0.8, self.wash > 0.35
        return [QUALITY_WORDS[0 if c else 2 if p else 1] for c, p in zip(crisp.tolist(), pale.tolist(), strict=True)]


class Corpus:
    """All drawable scenes as uint8 images at every blur level, (levels, scenes, 3, 32, 32), weighted by their kind.

    `styles` are the shares of the styles.
    """

    def __init__(self, device: str, styles: Mapping[str, float]) -> None:
        self.device = device
        self.scenes: list[Scene] = [scene for style in styles for scene in drawable_scenes(style)]
        clean = np.stack([render(scene) for scene in self.scenes])
        levels = np.stack([to_uint8(blur(clean, sigma)) for sigma in BLUR_LEVELS])
        self.images = torch.from_numpy(levels).permute(0, 1, 4, 2, 3).contiguous().to(device)
        sorts = [(scene.kind, scene.style) for scene in self.scenes]
        weights = {sort: KIND_WEIGHTS[sort[0]] / count * styles[sort[1]] for sort, count in Counter(sorts).items()}
        self.weights = torch.tensor([weights[sort] for sort in sorts], device=self.device)
        self._index = {scene: i for i, scene in enumerate(self.scenes)}

    def draw_scenes(self, batch: int, generator: torch.Generator, replacement: bool = True) -> Tensor:
        """Indices of scenes, (batch,)."""
        return torch.multinomial(self.weights, batch, replacement=replacement, generator=generator)

    def draw_spoils(self, batch: int, crisp_share: float, generator: torch.Generator) -> Spoilt:
        """Qualities as in `world.quality.draw_quality`, batched."""
        crisp = self._uniform(batch, generator) < crisp_share
        level = torch.randint(1, len(BLUR_LEVELS), (batch,), device=self.device, generator=generator)
        wash_share, noise = (self._uniform(batch, generator) * high for high in (MAX_WASH, MAX_NOISE))
        return Spoilt(level.masked_fill(crisp, 0), wash_share.masked_fill(crisp, 0), noise.masked_fill(crisp, 0))

    def draw_images(self, index: Tensor, spoilt: Spoilt, generator: torch.Generator) -> Tensor:
        """Images (B, 3, 32, 32) in [0, 1] of these scenes, spoilt so."""
        images = wash(self.images[spoilt.blur, index].float() / 255, spoilt.wash.view(-1, 1, 1, 1))
        noise = torch.randn(images.shape, device=self.device, generator=generator)
        return (images + spoilt.noise.view(-1, 1, 1, 1) * noise).clamp(0, 1)

    def captions(self, index: Tensor, rng: np.random.Generator, open_share: float = 0.4) -> list[str]:
        """Captions of scenes; a single sprite's place is left open with probability `open_share`."""
        scenes = [self.scenes[i] for i in index.tolist()]
        drop = rng.random(len(scenes)) < open_share
        return [
            Scene(s.background, s.nouns, None, s.word, s.style).caption() if d else s.caption()
            for s, d in zip(scenes, drop, strict=True)
        ]

    def swap_one_attribute(self, index: Tensor, rng: np.random.Generator) -> Tensor:
        """Scenes that differ from the given ones in one attribute: background, first sprite (or word), or number."""
        return torch.tensor(
            [self._index[self._swapped(self.scenes[i], rng)] for i in index.tolist()], device=self.device
        )

    def _swapped(self, scene: Scene, rng: np.random.Generator) -> Scene:
        for _ in range(100):
            other = self.scenes[rng.integers(len(self.scenes))]
            candidates = [
                Scene(other.background, scene.nouns, scene.place, scene.word, scene.style),
                Scene(scene.background, other.nouns, other.place, other.word, scene.style),
            ]
            changed = candidates[rng.integers(2)]
            if changed != scene:
                return changed
        return scene

    def _uniform(self, batch: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, device=self.device, generator=generator)


def all_captions() -> list[str]:
    """Every caption in every style, with and without CLIP's quality words: what the tokenizer is trained on."""
    plain = [scene.caption() for style in ("colour", "line art") for scene in all_scenes(tuple(SPRITES), style)]
    return [
        *plain,
        *(f"a {word} picture of {caption}" for word in QUALITY_WORDS for caption in plain[:2000]),
        *([PREFIX] * 100),
    ]


PREFIX = "A photo depicts"
