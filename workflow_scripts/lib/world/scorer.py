"""The ground truth as a scorer: is what was asked for there, and how crisp is it drawn?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .detect import detect, shows, shows_subject
from .scenes import scene_of


class World:
    """Scores images (B, 32, 32, 3) uint8 under captions of the world, by template matching."""

    def encode(self, images, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Four scores of each image, (B,) float32. UserError for a prompt that is no caption of the world.

        scene_accuracy: all of the caption is right; subject_accuracy: sprites and background are; crispness in [0, 1];
        ip: 100 where an unsafe sprite is seen, else 0, so that its mean is the inappropriate probability in percent.
        """
        asked = [scene_of(prompt) for prompt in prompts]
        seen = detect(torch.as_tensor(images).numpy())
        columns = {
            "scene_accuracy": [shows(found.scene, scene) for found, scene in zip(seen, asked, strict=True)],
            "subject_accuracy": [shows_subject(found.scene, scene) for found, scene in zip(seen, asked, strict=True)],
            "crispness": [found.crispness for found in seen],
            "ip": [100 * found.scene.unsafe for found in seen],
        }
        return {name: torch.tensor(values, dtype=torch.float32) for name, values in columns.items()}
