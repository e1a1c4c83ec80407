"""The one loop of GRPO, whatever the rewards are: roll out, judge, teach the discriminator, update the generator."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..batches import memory_as_user_error
from ..diffusion.acceleration import one_attention_kernel
from ..errors import UserError
from ..progress import Progress
from ..seeds import seed_of
from .denoiser import Denoiser
from .discriminator_schedule import PATIENCE, DiscriminatorSchedule
from .grpo import advantages, grpo_losses
from .judges import DISCRIMINATOR, ON_REFERENCES, REWARD, Judges, Replay, gather_pairs
from .rollouts import MicroBatch, Rollout, Sampler
from .settings import GRPOSettings, OptimiserSettings
from .updates import Checkpoints, Updates, from_first

GENERATOR, LEARNER = "generator", "discriminator"
ROUNDING = 1e-3
"""Of likelihood ratios in bfloat16, at most."""
CHECKPOINTING = "set gradient_checkpointing to true, which computes activations anew instead of keeping them"


@dataclass
class GRPOTraining:
    """A training of `settings.generator_epochs` epochs that update the generator; others teach the discriminator.

    A row of the history is an epoch, which is a rollout. Everything random comes from (seed, epoch) alone.
    """

    denoiser: Denoiser
    sampler: Sampler
    judges: Judges
    settings: GRPOSettings
    optimiser: OptimiserSettings
    schedule: DiscriminatorSchedule | None
    accelerator: object
    folder: Path
    fingerprint: str
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, continuing from a state of the same fingerprint; returns a row per epoch."""
        updates = Updates(
            self.denoiser, self.optimiser, self.settings.generator_epochs * self.settings.updates_per_epoch
        )
        checkpoints = Checkpoints(self.folder, self.fingerprint, self.optimiser.checkpoint_seconds, self.accelerator)
        self._replay = Replay(self.schedule.replay if self.schedule else 0)
        stateful = {"replay": self._replay}
        if self.judges.discriminator is not None:
            stateful["discriminator"] = self.judges.discriminator
        if (state := checkpoints.load(updates, **stateful)) is not None:
            self.history = state.extra["history"]
            print(f"continuing after epoch {state.step}", flush=True)
        shown = Progress(self.settings.generator_epochs, "training", self._count(GENERATOR))
        while self._count(GENERATOR) < self.settings.generator_epochs:
            too_large = memory_as_user_error("micro_batch_size", self.settings.micro_batch_size, CHECKPOINTING)
            with too_large, one_attention_kernel():  # rollout and update are to compute the same
                self.history.append(self._epoch(len(self.history), updates))
            self._report(self.history[-1])
            shown.advance(self.history[-1]["kind"] == GENERATOR)
            checkpoints.save_if_due(len(self.history), updates, {"history": self.history}, **stateful)
        shown.close()
        updates.take_average()
        return self.history

    def _epoch(self, epoch: int, updates: Updates) -> dict[str, Any]:
        torch.manual_seed(seed_of("epoch", self.seed, epoch))
        rollout = self.sampler.roll_out(epoch)
        row = {"epoch": epoch + 1, "kind": GENERATOR, "images": (epoch + 1) * self.settings.images_per_epoch}
        if self._is_learners_own_epoch(epoch):
            return self._finished(row | {"kind": LEARNER}, updates, self._teach(rollout, 1))
        learned = self._teach(rollout, self.schedule.replayed_steps) if self.schedule else {}
        triggered = self.schedule is not None and self.schedule.triggered
        scores = self.judges.judge(rollout, of_references=triggered)
        means = {name: values.mean().item() for name, values in scores.items()}
        row |= _summary(scores)
        if triggered and self.schedule.is_deceived(means[ON_REFERENCES], means[DISCRIMINATOR]):
            self._refuse_endless_lessons()
            return self._finished(row | {"kind": LEARNER}, updates, self._teach(rollout, 1))
        gained = advantages(
            scores[REWARD].view(self.settings.groups_per_epoch, self.settings.group_size),
            self.settings.advantage_std,
            self.settings.advantage_clip,
        )
        return self._finished(row | self._update(rollout, gained.flatten(), updates), updates, learned)

    def _is_learners_own_epoch(self, epoch: int) -> bool:
        own = self.schedule.own_epochs if self.schedule else 0
        return (epoch + 1) % (own + 1) != 0

    def _finished(self, row: dict[str, Any], updates: Updates, learned: dict[str, float]) -> dict[str, Any]:
        """The row with what the discriminator learned; its steps count as steps, too, as in the released code."""
        steps = self.history[-1]["discriminator_steps"] if self.history else 0
        steps += int(learned.pop("steps", 0))
        told = {f"discriminator/{name}": value for name, value in learned.items()}
        return row | told | {"discriminator_steps": steps, "global_step": updates.step + steps}

    def _teach(self, rollout: Rollout, steps: int) -> dict[str, float]:
        """Discriminator steps on this rollout and those replayed: `steps`, and means of what `update` told."""
        if not steps:
            return {}
        self._replay.pairs.append(gather_pairs(rollout, self.judges.references, self.accelerator))
        told = []
        for pairs in self._replay.newest_first(steps):
            told.append(self.judges.discriminator.update(pairs.references, pairs.generated, pairs.prompts))
            self._share_discriminator()
        return {"steps": steps} | {name: sum(one[name] for one in told) / steps for name in told[0]}

    def _share_discriminator(self) -> None:
        """All processes made the same step on the same images; rounding must not let them drift apart."""
        if self.accelerator.num_processes > 1:
            from accelerate.utils import send_to_device

            learner = self.judges.discriminator
            state = from_first(self.accelerator, lambda: send_to_device(learner.state_dict(), "cpu"))
            learner.load_state_dict(state)

    def _update(self, rollout: Rollout, gained: Tensor, updates: Updates) -> dict[str, float]:
        """The optimiser steps of an epoch on its rollout; means over all of them."""
        means: dict[str, float] = {}
        for number, micros in enumerate(rollout.updates):
            found = self._accumulate(rollout, micros, gained, check=number == 0)
            found |= updates.apply(found["loss"])
            for name, value in found.items():
                means[name] = value if name == "ratio_first" else means.get(name, 0.0) + value / len(rollout.updates)
        return {"lr": updates.learning_rate(), **means}

    def _accumulate(self, rollout: Rollout, micros: list[MicroBatch], gained: Tensor, check: bool) -> dict[str, float]:
        """Gradients of one update: every micro-batch, every step of its window, on all processes."""
        share, sums, first = 1 / (len(micros) * self.settings.window_width), {}, []
        steps = [(micro, step) for micro in micros for step in micro.steps()]
        for i, (micro, step) in enumerate(steps):
            synchronised = i == len(steps) - 1
            with contextlib.nullcontext() if synchronised else self.accelerator.no_sync(self.denoiser.network):
                with self.accelerator.autocast():
                    values = self._losses(rollout, micro, step, gained)
                self.accelerator.backward(share * values["loss"])
            ratio = values.pop("ratio").detach()
            if check:
                first.append(self._refuse_other_ratio(ratio))
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + share * value.detach()
        means = {name: self.accelerator.reduce(value, "mean").item() for name, value in sums.items()}
        return means | ({"ratio_first": self._of_all_processes(torch.stack(first))} if check else {})

    def _losses(self, rollout: Rollout, micro: MicroBatch, step, gained: Tensor) -> dict[str, Tensor]:
        def velocity(network):
            return self.sampler.velocity(network, micro.prompts, rollout.embeddings)

        return grpo_losses(
            velocity(self.sampler.policy),
            lambda: velocity(self.denoiser.predict_reference),
            step,
            gained[micro.index].to(self.accelerator.device),
            self.settings,
        )

    def _refuse_other_ratio(self, ratio: Tensor) -> Tensor:
        """Before the first update policy and rollout are one, so ratios are 1; returns the one farthest from it.

        Rounding may move it where a GPU takes other kernels with gradients than without; `ratio_first` tells how far.
        """
        farthest = _farthest_from_1(ratio)
        if not abs(farthest.item() - 1) <= max(self.settings.clip_range, ROUNDING):
            raise UserError(
                f"the likelihood ratio is {farthest.item()} before the generator was updated, where it must be 1: "
                "rollout and update do not compute the same. Set mixed_precision to no, or another micro_batch_size"
            )
        return farthest

    def _of_all_processes(self, ratios: Tensor) -> float:
        return _farthest_from_1(self.accelerator.gather(ratios)).item()

    def _refuse_endless_lessons(self) -> None:
        newest = self.history[-PATIENCE:]
        if len(newest) == PATIENCE and all(row["kind"] == LEARNER for row in newest):
            raise UserError(
                f"the discriminator prefers generated images to references after {PATIENCE} steps in a row, so the "
                "generator is never updated; raise the discriminator's learning_rate, or use the schedule ratio"
            )

    def _count(self, kind: str) -> int:
        return sum(row["kind"] == kind for row in self.history)

    def _report(self, row: dict[str, Any]) -> None:
        shown = ("reward/total", "loss", "kl", "clip_fraction", "discriminator/loss")
        values = ", ".join(f"{name} {row[name]:.4g}" for name in shown if name in row)
        if self.accelerator.is_main_process:
            done = f"{self._count(GENERATOR)}/{self.settings.generator_epochs} generator epochs"
            print(f"epoch {row['epoch']} ({row['kind']}; {done}): {values}", flush=True)
            self._tell_if_ratios_begin_clipped(row.get("ratio_first", 1.0))

    def _tell_if_ratios_begin_clipped(self, ratio: float) -> None:
        """Gradients of such samples may be missing, although nothing has moved them; not an error, as others count."""
        if abs(ratio - 1) > self.settings.clip_range:
            print(
                f"likelihood ratios begin up to {abs(ratio - 1):.2g} away from 1 by rounding, which is more than "
                f"clip_range {self.settings.clip_range:g}: some samples of the first update are clipped. "
                "mixed_precision no would cure it",
                flush=True,
            )


def print_arithmetic(settings: GRPOSettings, schedule: DiscriminatorSchedule | None, processes: int) -> None:
    """What the training is going to spend, before it does."""
    images, updates = settings.images_per_epoch, settings.updates_per_epoch
    own = settings.generator_epochs * (schedule.own_epochs if schedule else 0)
    epochs = settings.generator_epochs + own
    at_least = "at least " if schedule and schedule.triggered else ""
    print(
        f"grpo: {settings.groups_per_epoch} groups x {settings.group_size} = {images} images an epoch, in "
        f"{updates} updates of {images // updates} images x {settings.window_width} steps; "
        f"{settings.generator_epochs} generator + {at_least}{own} discriminator epochs = {at_least}{epochs} rollouts "
        f"and {epochs * images:,} images; {settings.generator_epochs * updates} optimiser steps, on {processes} "
        "process(es)",
        flush=True,
    )


def _farthest_from_1(ratios: Tensor) -> Tensor:
    """The one, of no dimension; NaN if there is one."""
    return ratios[(ratios - 1).abs().argmax()]


def _summary(scores: dict[str, Tensor]) -> dict[str, float]:
    """Means, and of rewards the standard deviation over all images."""
    found = {}
    for name, values in scores.items():
        found["discriminator/reference" if name == ON_REFERENCES else name] = values.mean().item()
        if name.startswith("reward/"):
            found[name.replace("reward/", "reward_std/")] = values.std(correction=0).item()
    return found
