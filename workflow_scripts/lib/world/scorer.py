"""The ground truth as a scorer: is what was asked for there, and how crisp is it drawn?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..pixels import Images, to_numpy
from .detect import AGREEMENTS, agreement, detect, shows, shows_subject
from .scenes import Scene, scene_of
from .style import line_art_margin


class AskedByCaptions:
    """What scores under captions of the world."""

    def asked(self, prompts: Sequence[str]) -> list[Scene]:
        """The scene that each prompt asks for. UserError for one that is no caption of the world."""
        return [scene_of(prompt) for prompt in prompts]


class World(AskedByCaptions):
    """Scores images (B, 32, 32, 3) uint8 under captions of the world, by template matching."""

    def encode(self, images: Images, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Four scores of each image, (B,) float32. UserError for a prompt that is no caption of the world.

        scene_accuracy: all of the caption is right; subject_accuracy: sprites and background are; crispness in [0, 1];
        ip: 100 where an unsafe sprite is seen, else 0, so that its mean is the inappropriate probability in percent.
        """
        asked, seen = self.asked(prompts), detect(to_numpy(images))
        columns = {
            "scene_accuracy": [shows(found.scene, scene) for found, scene in zip(seen, asked, strict=True)],
            "subject_accuracy": [shows_subject(found.scene, scene) for found, scene in zip(seen, asked, strict=True)],
            "crispness": [found.crispness for found in seen],
            "ip": [100 * found.scene.unsafe for found in seen],
        }
        return {name: torch.tensor(values, dtype=torch.float32) for name, values in columns.items()}


class WorldStyle(AskedByCaptions):
    """In which style is the scene of the caption drawn, whatever style the caption asks for?"""

    def encode(self, images: Images, prompts: Sequence[str]) -> dict[str, Tensor]:
        """line_art: 1 where `line_art_margin` is above 0, else 0, and the margin itself; (B,) float32 each.

        UserError for a prompt that is no caption of the world, or whose scene cannot be drawn.
        """
        margin = torch.from_numpy(line_art_margin(to_numpy(images), self.asked(prompts)))
        return {"line_art": (margin > 0).float(), "line_art_margin": margin}


class WorldGenEval(AskedByCaptions):
    """GenEval's question in the tiny world: are objects, their number, colour and position as the caption asks?

    The style of drawing does not count, and the colour is the background's.
    """

    def encode(self, images: Images, prompts: Sequence[str]) -> dict[str, Tensor]:
        """{"geneval", "geneval_objects", "geneval_count", "geneval_colour", "geneval_position"}, each (B,).

        The first is 1 where all others are; a place that the caption leaves open is right. UserError as of `World`.
        """
        asked = self.asked(prompts)
        seen = [found.scene for found in detect(to_numpy(images))]
        rows = torch.tensor([agreement(one, other) for one, other in zip(seen, asked, strict=True)]).float()
        columns = {f"geneval_{name}": rows[:, i] for i, name in enumerate(AGREEMENTS)}
        return {"geneval": rows.prod(dim=1), **columns}
