"""What a recipe says of a discriminator; apart from the networks, so that a command line knows it without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class DiscriminatorOptions:
    """What a recipe says of the network and its training; when it learns is the trainer's.

    `batch_size` is images at once and changes no result. `colour_jitter` spoils colours in training only: in the reward
    it would be noise among the images of a group.
    """

    kind: str
    loss: str
    learning_rate: float
    adam_beta1: float = 0.5
    adam_beta2: float = 0.999
    trained_blocks: int = 1
    reward_divisor: float = 1.0
    head_width: int = 512
    cls_weight: float = 0.7
    patch_weight: float = 0.3
    cls_loss_weight: float = 1.0
    patch_loss_weight: float = 0.3
    normalise: bool = True
    colour_jitter: float = 0.0
    batch_size: int = 32

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any]) -> DiscriminatorOptions:
        """Those keys of a plain recipe that are options."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in recipe.items() if name in known})
