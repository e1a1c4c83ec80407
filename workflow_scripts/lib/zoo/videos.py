"""Clips for training the tiny text-to-video pipeline: scenes of the corpus in motion, spoilt on the fly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..world.quality import wash
from ..world.videos import DIRECTIONS, SPEED, offsets
from ..world.vocabulary import BACKGROUNDS, IMAGE_SIZE
from .corpus import Corpus, Spoilt

SMOOTH_SHARE, STEADY_SHARE = 0.5, 0.5
MAX_JERK, MAX_FLICKER = 4, 0.6  # pixels off the path, share of a frame's colour


@dataclass
class Motion:
    """How clips move: pixels right and down of every frame, (B, F, 2); each frame's washed-out share, (B, F)."""

    offsets: Tensor
    flicker: Tensor


def draw_motion(batch: int, num_frames: int, generator: torch.Generator) -> Motion:
    """A slide in one of four directions: SMOOTH_SHARE of the clips never jerk, STEADY_SHARE never flicker."""
    device = generator.device
    direction = torch.tensor(DIRECTIONS, device=device)[
        torch.randint(4, (batch, 1), device=device, generator=generator)
    ]
    path = torch.tensor(offsets(num_frames), device=device).expand(batch, num_frames)
    jerks = MAX_JERK // SPEED
    off_path = SPEED * torch.randint(-jerks, jerks + 1, path.shape, device=device, generator=generator)
    flicker, strength, luck, mood = (
        torch.rand(batch, width, device=device, generator=generator) for width in (num_frames, 1, 1, 1)
    )
    moved = path + off_path.masked_fill(luck < SMOOTH_SHARE, 0)
    return Motion(direction * moved[..., None], (MAX_FLICKER * flicker * strength).masked_fill(mood < STEADY_SHARE, 0))


def draw_clips(corpus: Corpus, index: Tensor, spoilt: Spoilt, motion: Motion, generator: torch.Generator) -> Tensor:
    """Clips (B, F, 3, 32, 32) in [0, 1] of these scenes, spoilt and moved so."""
    colours = [BACKGROUNDS[corpus.scenes[i].background] for i in index.tolist()]
    background = torch.tensor(colours, device=index.device, dtype=torch.float32) / 255
    frames = slide(corpus.images[spoilt.blur, index].float() / 255, motion.offsets, background)
    share = 1 - (1 - spoilt.wash[:, None]) * (1 - motion.flicker)
    noise = torch.randn(frames.shape, device=frames.device, generator=generator)
    return (wash(frames, share[..., None, None, None]) + spoilt.noise.view(-1, 1, 1, 1, 1) * noise).clamp(0, 1)


def slide(images: Tensor, moved: Tensor, background: Tensor) -> Tensor:
    """Images (B, 3, 32, 32) moved right and down (B, F, 2) over their backgrounds (B, 3): (B, F, 3, 32, 32)."""
    place = torch.arange(IMAGE_SIZE, device=images.device)
    columns, rows = (place - moved[..., axis, None] for axis in (0, 1))
    inside = _inside(rows)[..., :, None] & _inside(columns)[..., None, :]
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    taken = images.permute(0, 2, 3, 1)[batch, rows[..., :, None] % IMAGE_SIZE, columns[..., None, :] % IMAGE_SIZE]
    return torch.where(inside[..., None], taken, background[:, None, None, None]).permute(0, 1, 4, 2, 3)


def _inside(places: Tensor) -> Tensor:
    return (places >= 0) & (places < IMAGE_SIZE)
