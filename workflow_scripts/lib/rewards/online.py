"""Rewards of images while they are generated: the scorers that also score files, behind one signature.

Images are uint8 (B, H, W, 3), the levels of a saved picture, so a reward during training is the metric of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import UserError
from .encoders import Encoder
from .scorers import load_scorer

References = Mapping[str, Tensor]
"""The reference images of each prompt, uint8 (R, H, W, 3)."""


class OnlineScorer:
    """A scorer of files that is asked while images are generated; `name` is what errors call it."""

    def __init__(self, name: str, scorer: Encoder) -> None:
        self.name, self.scorer = name, scorer
        self.compares = hasattr(scorer, "compare")
        self._images: Tensor | None = None

    def check(self, prompts: Sequence[str]) -> None:
        """UserError for a prompt under which no image can be scored."""
        if hasattr(self.scorer, "asked"):
            self.scorer.asked(prompts)

    def metrics(self, images: Tensor, prompts: Sequence[str], references: References | None) -> dict[str, Tensor]:
        """All its metrics (B,), float32 on the CPU; similarities compare with the references.

        Asked again about the same images it remembers: what is a reward may be watched, too.
        """
        if images is not self._images:
            self._images, self._found = images, self._measured(images, prompts, references)
        return self._found

    def reward(self, images: Tensor, prompts: Sequence[str], references: References | None = None) -> Tensor:
        """The first of its metrics (B,)."""
        return next(iter(self.metrics(images, prompts, references).values()))

    def _measured(self, images: Tensor, prompts: Sequence[str], references: References | None) -> dict[str, Tensor]:
        if self.compares:
            found = {self.scorer.metric: self.scorer.compare(images, prompts, references)}
        else:
            found = self.scorer.encode(images, prompts)
        return {name: values.float().cpu() for name, values in found.items()}


class WeightedSum:
    """Σ weight · reward: one reward, several, or Eq. 8 of arXiv 2511.20256, λ · rule + (1 - λ) · similarity."""

    def __init__(self, scorers: Mapping[str, OnlineScorer], weights: Mapping[str, float]) -> None:
        if not scorers or scorers.keys() != weights.keys():
            raise UserError(
                f"rewards {', '.join(scorers) or '(none)'} and weights of {', '.join(weights) or '(none)'} do not "
                "belong together; give every reward its weight"
            )
        self.scorers, self.weights = dict(scorers), dict(weights)

    def components(
        self, images: Tensor, prompts: Sequence[str], references: References | None = None
    ) -> dict[str, Tensor]:
        """Every reward (B,) by name, not weighted."""
        return {name: scorer.reward(images, prompts, references) for name, scorer in self.scorers.items()}

    def combine(self, components: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum (B,) of `components`."""
        return sum(weight * components[name] for name, weight in self.weights.items())


def load_rewards(
    entries: Mapping[str, dict], weights: Mapping[str, float], device: str = "cpu", dtype: str = "float32"
) -> WeightedSum:
    """The weighted sum of scorers given by name: registry entries and weights. UserErrors: `load_scorer`'s."""
    return WeightedSum({name: load_online(name, entry, device, dtype) for name, entry in entries.items()}, weights)


def load_online(name: str, entry: dict, device: str = "cpu", dtype: str = "float32") -> OnlineScorer:
    """The scorer of a registry entry. UserErrors: `load_scorer`'s."""
    return OnlineScorer(name, load_scorer(entry, device, dtype))
