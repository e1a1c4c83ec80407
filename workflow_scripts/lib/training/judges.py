"""What judges rollouts: rewards, a discriminator that learns meanwhile, and scorers that only watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import UserError
from ..models import identity
from ..rewards.online import OnlineScorer, WeightedSum, load_online, load_rewards
from ..shards import Collection, Part
from .references import References
from .rollouts import MicroBatch, Rollout

if TYPE_CHECKING:
    from ..rewards.discriminators import Discriminator

REWARD, DISCRIMINATOR, ON_REFERENCES = "reward/total", "reward/discriminator", "discriminator_of_references"


@dataclass
class Judges:
    """The reward is the weighted sum of `rewards`, plus the discriminator's; `watchers` change nothing.

    All take images uint8 (B, H, W, 3) and their prompts, and give (B,) on the CPU.
    """

    rewards: WeightedSum | None
    discriminator: Discriminator | None
    references: References | None
    watchers: list[OnlineScorer]
    accelerator: object

    def __post_init__(self) -> None:
        if self.rewards is None and self.discriminator is None:
            raise UserError("there is nothing to reward images by; name rewards or a discriminator")
        if self.discriminator is not None and self.references is None:
            raise UserError("a discriminator learns from reference images; name the role of some under `references`")
        if self._comparing() and self.references is None:
            said = f"'{self._comparing()[0]}' compares with reference images, but the run has none"
            raise UserError(f"{said}; name their role: `references: …`")

    def check(self, prompts: Sequence[str]) -> None:
        """UserError for a prompt of the training that a scorer cannot score, before hours have passed."""
        for scorer in self._scorers():
            scorer.check(prompts)

    def judge(self, rollout: Rollout, *, of_references: bool) -> dict[str, Tensor]:
        """Every score (N,) of all N images of the rollout on all processes, in its order, and their sum REWARD.

        With `of_references` also the discriminator's rewards of the images' references.
        """
        compared = of_references or self._comparing()
        references = self.references.of(rollout.prompts) if compared else None
        scores = [self._scores(micro, references, of_references) for micro in rollout.micro_batches]
        index = torch.cat([micro.index for micro in rollout.micro_batches])
        return in_order({name: torch.cat([one[name] for one in scores]) for name in scores[0]}, index, self.accelerator)

    def _scores(self, micro: MicroBatch, references: dict[str, Tensor] | None, of_references: bool) -> dict:
        images, prompts = micro.images, micro.prompts
        found, total = {}, torch.zeros(len(images))
        if self.rewards is not None:
            components = self.rewards.components(images, prompts, references)
            found = {f"reward/{name}": values for name, values in components.items()}
            total = total + self.rewards.combine(components)
        if self.discriminator is not None:
            found[DISCRIMINATOR] = self.discriminator(images, prompts)
            total = total + found[DISCRIMINATOR]
            if of_references:
                found[ON_REFERENCES] = self.discriminator(paired_references(micro, references), prompts)
        found[REWARD] = total
        for name, values in found.items():
            require_finite(name.removeprefix("reward/"), values, prompts)
        watched = [watcher.metrics(images, prompts, references) for watcher in self.watchers]
        return found | {f"truth/{name}": values for one in watched for name, values in one.items()}

    def _scorers(self) -> list[OnlineScorer]:
        return [*(self.rewards.scorers.values() if self.rewards else ()), *self.watchers]

    def _comparing(self) -> list[str]:
        """Names of the scorers that read references."""
        return [scorer.name for scorer in self._scorers() if scorer.compares]


@dataclass
class Pairs:
    """Generated images of a whole rollout, each with a reference of its prompt, (N, H, W, 3) uint8 on every process."""

    generated: Tensor
    references: Tensor
    prompts: list[str]


@dataclass
class Replay:
    """The newest rollouts' pairs, at most `size` of them, for discriminator steps that make no rollout of their own."""

    size: int
    pairs: deque[Pairs] = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = deque(maxlen=max(1, self.size))

    def newest_first(self, count: int) -> list[Pairs]:
        """Pairs for `count` steps, the newest rollout first, then the one before, and again."""
        return [self.pairs[-1 - i % len(self.pairs)] for i in range(count)]

    def state_dict(self) -> dict[str, Any]:
        """What a state keeps: the next epoch's own rollout takes the place of the oldest."""
        kept = list(self.pairs)[1 - self.size :] if self.size > 1 else []
        return {"pairs": [(one.generated, one.references, one.prompts) for one in kept]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.pairs = deque((Pairs(*one) for one in state["pairs"]), maxlen=max(1, self.size))


def gather_pairs(rollout: Rollout, references: References, accelerator) -> Pairs:
    """The pairs of a rollout from all processes."""
    own, micros = references.of(rollout.prompts), rollout.micro_batches
    tensors = {
        "generated": torch.cat([micro.images for micro in micros]),
        "references": torch.cat([paired_references(micro, own) for micro in micros]),
    }
    index = torch.cat([micro.index for micro in micros])
    return Pairs(**in_order(tensors, index, accelerator), prompts=rollout.all_prompts)


def paired_references(micro: MicroBatch, references: dict[str, Tensor]) -> Tensor:
    """A reference (B, H, W, 3) for each image: the k-th of a group has the k-th of its prompt, counted round."""
    return torch.stack([references[s.prompt][s.k % len(references[s.prompt])] for s in micro.samples])


def require_finite(name: str, values: Tensor, prompts: Sequence[str]) -> None:
    """UserError where one of the rewards (B,) is NaN or infinite, as it would spoil the whole update."""
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        first, share = int(wrong[0]), f"{len(wrong)} of {len(values)}"
        raise UserError(
            f"reward '{name}' is {values[first].item()} for the prompt {prompts[first]!r} ({share} images "
            "are not finite); score with --dtype float32, and verify the reward's files if it stays"
        )


def in_order(values: dict[str, Tensor], index: Tensor, accelerator) -> dict[str, Tensor]:
    """Tensors (n, ...) of this process's places `index` (n,) as those (N, ...) of all, in order, on the CPU."""

    def gathered(value: Tensor) -> Tensor:
        if accelerator.num_processes == 1:  # images of a whole rollout need not go to the GPU and back
            return value
        return accelerator.gather(value.to(accelerator.device)).cpu()

    order = gathered(index).argsort()
    return {name: gathered(value)[order] for name, value in values.items()}


@dataclass(frozen=True)
class JudgesRecipe:
    """What judges are made of: registry entries of rewards, by name, with their weights, and of scorers that watch.

    `discriminator` is a plain recipe whose `model` is a registry entry, `references` are parts of a collection.
    """

    rewards: Mapping[str, dict]
    weights: Mapping[str, float]
    watched: Sequence[dict]
    discriminator: Mapping[str, Any] | None
    references: Sequence[Path]
    dtype: str

    def identity(self) -> dict[str, Any]:
        """For a fingerprint."""
        learner = self.discriminator
        return {
            "rewards": {name: identity(entry) for name, entry in self.rewards.items()},
            "weights": self.weights,
            "watched": [identity(entry) for entry in self.watched],
            "discriminator": learner and {**learner, "model": identity(learner["model"])},
            "references": [Part(path).fingerprint for path in self.references],
            "dtype": self.dtype,
        }

    def load(self, prompts: Sequence[str], accelerator, seed: int) -> Judges:
        """The judges; a model that rewards and watches is loaded once.

        UserErrors: no references, or no score, of one of the prompts.
        """
        from ..rewards.discriminators import load_discriminator

        device, learner = str(accelerator.device), self.discriminator
        rewards = load_rewards(self.rewards, self.weights, device, self.dtype) if self.rewards else None
        known = {entry["name"]: rewards.scorers[name] for name, entry in self.rewards.items()}
        judges = Judges(
            rewards,
            load_discriminator(learner, learner["model"], device, self.dtype, seed) if learner else None,
            References(Collection(self.references), prompts) if self.references else None,
            [known.get(one["name"]) or load_online(one["name"], one, device, self.dtype) for one in self.watched],
            accelerator,
        )
        judges.check(prompts)
        return judges
