"""Rewards of images while they are generated: the scorers that also score files, behind one signature.

`reward(images, prompts, references)` -> (B,). Images are brought to the levels that a saved picture has, so a reward
during training is the metric of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from ..errors import UserError
from .encoders import Encoder
from .pixels import to_uint8
from .scorers import load_scorer


class Reward(Protocol):
    """What images are rewarded by; discriminators are rewards, too."""

    def __call__(self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None = None) -> Tensor:
        """Rewards (B,) float32 without gradient, on the images' device.

        `images` (B, 3, H, W) float in [0, 1]; `references` are those (R, 3, H, W) of each one's prompt.
        """


class ScorerReward:
    """The first metric of a scorer; similarities compare with the references. `name` is what errors call it."""

    def __init__(self, name: str, scorer: Encoder) -> None:
        self.name, self.scorer = name, scorer
        self.compares = hasattr(scorer, "compare")

    def __call__(self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None = None) -> Tensor:
        """Rewards (B,). UserError for NaN and, of a similarity, for a prompt without references."""
        require_finite_images(images, prompts)
        if self.compares:
            values = self.scorer.compare(to_uint8(images), prompts, by_prompt(self.name, prompts, references))
        else:
            values = next(iter(self.scorer.encode(to_uint8(images), prompts).values()))
        return require_finite(self.name, values.float(), prompts).to(images.device)


class WeightedSum:
    """Σ weight · reward: one reward, several, or Eq. 8 of arXiv 2511.20256, λ · rule + (1 - λ) · similarity."""

    def __init__(self, rewards: Mapping[str, Reward], weights: Mapping[str, float]) -> None:
        if not rewards or rewards.keys() != weights.keys():
            raise UserError(
                f"rewards {', '.join(rewards) or '(none)'} and weights of {', '.join(weights) or '(none)'} do not "
                "belong together; give every reward its weight"
            )
        self.rewards, self.weights = dict(rewards), dict(weights)

    def components(
        self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Every reward (B,) by name, not weighted."""
        return {name: reward(images, prompts, references) for name, reward in self.rewards.items()}

    def combine(self, components: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum (B,) of `components`."""
        return sum(weight * components[name] for name, weight in self.weights.items())

    def __call__(self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None = None) -> Tensor:
        """The weighted sum (B,)."""
        return self.combine(self.components(images, prompts, references))


def load_rewards(
    entries: Mapping[str, dict], weights: Mapping[str, float], device: str = "cpu", dtype: str = "float32"
) -> WeightedSum:
    """The weighted sum of scorers given by name: registry entries and weights. UserErrors: `load_scorer`'s."""
    return WeightedSum(
        {name: ScorerReward(name, load_scorer(entry, device, dtype)) for name, entry in entries.items()}, weights
    )


def by_prompt(name: str, prompts: Sequence[str], references: Sequence[Tensor] | None) -> dict[str, Tensor]:
    """The reference images of each prompt, uint8 (R, H, W, 3). UserError where reward `name` finds none."""
    if references is None:
        raise UserError(
            f"'{name}' compares with reference images, but the run has none; name their role: `references: …`"
        )
    if len(references) != len(prompts):
        raise UserError(f"'{name}' needs the references of {len(prompts)} images, but was given {len(references)}")
    given = dict(zip(prompts, references, strict=True))
    missing = [prompt for prompt, images in given.items() if not len(images)]
    if missing:
        raise UserError(
            f"'{name}' has no reference images of {len(missing)} of {len(given)} prompts, first {missing[0]!r}; "
            "make references of the whole prompt set, or train on prompts that have some"
        )
    return {prompt: to_uint8(images) for prompt, images in given.items()}


def require_finite(name: str, values: Tensor, prompts: Sequence[str]) -> Tensor:
    """The rewards (B,) themselves; UserError where one is NaN or infinite, as it would spoil the whole update."""
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        first, share = int(wrong[0]), f"{len(wrong)} of {len(values)}"
        raise UserError(
            f"reward '{name}' is {values[first].item()} for the prompt {prompts[first]!r} ({share} images "
            "are not finite); score with --dtype float32, and verify the reward's files if it stays"
        )
    return values


def require_finite_images(images: Tensor, prompts: Sequence[str]) -> None:
    """UserError for images (B, 3, H, W) with NaN or infinity, which rounding to levels would hide."""
    wrong = (~images.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(wrong):
        raise UserError(
            f"the generator's image of prompt {prompts[int(wrong[0])]!r} is NaN or infinite ({len(wrong)} of "
            f"{len(images)} images): training diverged; resume from an earlier state with a smaller learning rate"
        )
