"""What a recipe says of a discriminator; apart from the networks, so that a command line knows it without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..options import option


@dataclass(frozen=True)
class DiscriminatorSettings:
    """What a recipe says of the network and its training; when it learns is the trainer's.

    `batch_size` is images at once and changes no result. `colour_jitter` spoils colours in training only: in the reward
    it would be noise among the images of a group.
    """

    kind: str = option("preference: the last blocks of a scorer; foundation: a head on a frozen vision model")
    loss: str = option("bradley_terry, bce or hinge")
    learning_rate: float = option("of Adam")
    adam_beta1: float = option("of Adam", 0.5)
    adam_beta2: float = option("of Adam", 0.999)
    trained_blocks: int = option("last blocks of the scorer's vision encoder that are trained", 1)
    reward_divisor: float = option("what scores are divided by before they are rewards", 1.0)
    head_width: int = option("of the head's hidden layer", 512)
    cls_weight: float = option("of the global token's score in the reward", 0.7)
    patch_weight: float = option("of the patches' mean score in the reward", 0.3)
    cls_loss_weight: float = option("of the global token in the loss", 1.0)
    patch_loss_weight: float = option("of the patches in the loss", 0.3)
    normalise: bool = option("scale tokens to the square root of their width before the head", True)
    colour_jitter: float = option("share by which brightness and contrast vary while it learns", 0.0)
    batch_size: int = option("images at once; changes no result", 32)

    @classmethod
    def of_recipe(cls, recipe: Mapping[str, Any]) -> DiscriminatorSettings:
        """Those keys of a plain recipe that are settings."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in recipe.items() if name in known})
