"""What judges rollouts: rewards, a discriminator that learns meanwhile, and scorers that only watch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import UserError
from ..rewards.online import require_finite
from ..shards import Collection
from .references import References
from .rollouts import MicroBatch, Rollout


class Rewards(Protocol):
    """Scorers and their weights. Images (B, 3, H, W) in [0, 1]; references (R, 3, H, W) of each image's prompt."""

    def components(
        self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None
    ) -> dict[str, Tensor]: ...

    def combine(self, components: Mapping[str, Tensor]) -> Tensor: ...


class Discriminator(Protocol):
    """A reward that learns to prefer references to generated images, one optimiser step each `update`."""

    def __call__(self, images: Tensor, prompts: Sequence[str], references: Sequence[Tensor] | None) -> Tensor: ...

    def update(self, references: Tensor, generated: Tensor, prompts: Sequence[str]) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Watcher(Protocol):
    """A scorer of uint8 images (B, H, W, 3) under their prompts: (B,) for each of its metrics."""

    def encode(self, images: Tensor, prompts: Sequence[str]) -> dict[str, Tensor]: ...


REWARD, DISCRIMINATOR, ON_REFERENCES = "reward/total", "reward/discriminator", "discriminator_of_references"


@dataclass
class Judges:
    """The reward is the weighted sum of `rewards`, plus the discriminator's; `watchers` change nothing."""

    rewards: Rewards | None
    discriminator: Discriminator | None
    references: References | None
    watchers: list[Watcher]
    accelerator: object

    def __post_init__(self) -> None:
        if self.rewards is None and self.discriminator is None:
            raise UserError("there is nothing to reward images by; name rewards or a discriminator")
        if self.discriminator is not None and self.references is None:
            raise UserError("a discriminator learns from reference images; name the role of some under `references`")

    def judge(self, rollout: Rollout, *, of_references: bool) -> dict[str, Tensor]:
        """Every score (N,) of all N images of the rollout on all processes, in its order, and their sum REWARD.

        With `of_references` also the discriminator's rewards of the images' references.
        """
        references = self.references.of(rollout.prompts) if self.references else None
        scores = [self._scores(micro, references, of_references) for micro in rollout.micro_batches]
        index = torch.cat([micro.index for micro in rollout.micro_batches])
        return in_order({name: torch.cat([one[name] for one in scores]) for name in scores[0]}, index, self.accelerator)

    def _scores(self, micro: MicroBatch, references: dict[str, Tensor] | None, of_references: bool) -> dict:
        images, prompts = floats(micro.images, self.accelerator.device), micro.prompts
        given = None
        if references is not None:
            by_prompt = {prompt: floats(references[prompt], self.accelerator.device) for prompt in set(prompts)}
            given = [by_prompt[prompt] for prompt in prompts]
        found, total = {}, torch.zeros(len(images), device=images.device)
        if self.rewards is not None:
            components = self.rewards.components(images, prompts, given)
            found = {f"reward/{name}": values for name, values in components.items()}
            total = total + self.rewards.combine(components)
        if self.discriminator is not None:
            found[DISCRIMINATOR] = self.discriminator(images, prompts, given)
            total = total + found[DISCRIMINATOR]
            if of_references:
                paired = floats(paired_references(micro, references), images.device)
                found[ON_REFERENCES] = self.discriminator(paired, prompts, given)
        for name, values in (found | {REWARD: total}).items():
            require_finite(name.removeprefix("reward/"), values, prompts)
        return found | {REWARD: total} | self._watched(micro)

    def _watched(self, micro: MicroBatch) -> dict[str, Tensor]:
        pixels = micro.images.permute(0, 2, 3, 1)
        scores = [watcher.encode(pixels, micro.prompts) for watcher in self.watchers]
        return {f"truth/{name}": values for one in scores for name, values in one.items()}


@dataclass
class Pairs:
    """Generated images of a whole rollout, each with a reference of its prompt, (N, 3, H, W) uint8 on every process."""

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
    """A reference (B, 3, H, W) for each image: the k-th of a group has the k-th of its prompt, counted round."""
    return torch.stack([references[s.prompt][s.k % len(references[s.prompt])] for s in micro.samples])


def floats(images: Tensor, device) -> Tensor:
    """uint8 levels as float32 in [0, 1] on a device."""
    return images.to(device).float() / 255


def in_order(values: dict[str, Tensor], index: Tensor, accelerator) -> dict[str, Tensor]:
    """Tensors (n, ...) of this process's places `index` (n,) as those (N, ...) of all, in order, on the CPU."""
    device = accelerator.device
    order = accelerator.gather(index.to(device)).cpu().argsort()
    return {name: accelerator.gather(value.to(device)).cpu()[order] for name, value in values.items()}


def load_judges(
    entries: Mapping[str, dict],
    weights: Mapping[str, float],
    learner: dict | None,
    recipe: Mapping[str, Any] | None,
    watched: Sequence[dict],
    references: Collection | None,
    prompts: Sequence[str],
    accelerator,
    dtype: str,
    seed: int,
) -> Judges:
    """Judges of registry entries: rewards and their weights by name, a discriminator's model and recipe, watchers."""
    from ..rewards.discriminators import load_discriminator
    from ..rewards.online import load_rewards
    from ..rewards.scorers import load_scorer

    device = str(accelerator.device)
    return Judges(
        load_rewards(entries, weights, device, dtype) if entries else None,
        load_discriminator(recipe, learner, device, dtype, seed) if recipe else None,
        References(references, prompts) if references else None,
        [load_scorer(entry, device, dtype) for entry in watched],
        accelerator,
    )
