"""The optimisation loop of SFT and DPO: accumulation over micro-batches and processes, state, history."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..batches import FittingBatches, memory_as_user_error
from ..errors import UserError
from ..progress import progress
from .denoiser import Denoiser
from .noise import StepDraw
from .settings import TrainingSettings
from .updates import Checkpoints, Updates

Objective = Callable[[StepDraw], dict[str, Tensor]]
"""Means over a micro-batch; `loss` is minimised, everything is logged."""


@dataclass
class Training:
    """A training of `steps` optimiser steps; `draw(step)` gives a whole step's examples, the same on every process.

    UserError for processes that cannot have equal shares of a step: they would wait for each other for ever.
    """

    denoiser: Denoiser
    settings: TrainingSettings
    steps: int
    draw: Callable[[int], StepDraw]
    objective: Objective
    accelerator: object
    folder: Path
    fingerprint: str
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        per_step, processes = self.settings.examples_per_step, self.accelerator.num_processes
        if per_step % processes:
            raise UserError(
                f"the {per_step} examples of a step cannot be shared out among {processes} processes; choose "
                f"counts.training_processes and training_nodes such that their product divides {per_step}"
            )
        self._fitting = FittingBatches(self.settings.batch_size, "examples", "batch_size")

    def run(self) -> list[dict[str, float]]:
        """Train to the end, continuing from a state of the same fingerprint; returns a row of logged means per step."""
        updates = Updates(self.denoiser, self.settings, self.steps)
        checkpoints = Checkpoints(self.folder, self.fingerprint, self.settings.checkpoint_seconds, self.accelerator)
        first = self._resume(checkpoints, updates)
        for step in progress(range(first, self.steps), self.steps, "training", first):
            row = self._step(step, updates)
            self.history.append({"step": step + 1, "lr": updates.learning_rate(), **row})
            checkpoints.save_if_due(step + 1, updates, {"history": self.history})
        updates.take_average()
        return self.history

    def _step(self, step: int, updates: Updates) -> dict[str, float]:
        draw, world = self.draw(step), self.accelerator.num_processes
        if world == 1:
            means = self._fitting.repeat(lambda size: self._accumulate(draw, size, updates))
        else:  # processes have to take the same micro-batches, and one cannot know that another has too little memory
            with memory_as_user_error("batch_size", self.settings.batch_size, "give the training fewer processes"):
                means = self._accumulate(draw, self.settings.batch_size, updates)
        return means | updates.apply(means["loss"])

    def _accumulate(self, draw: StepDraw, batch_size: int, updates: Updates) -> dict[str, float]:
        """Gradients of a step, and the means over its examples on all processes."""
        updates.optimizer.zero_grad(set_to_none=True)
        world = self.accelerator.num_processes
        own = StepDraw(*(values[self.accelerator.process_index :: world] for values in draw))
        micro = [StepDraw(*parts) for parts in zip(*(values.split(batch_size) for values in own), strict=True)]
        means: dict[str, float] = {}
        for i, part in enumerate(micro):
            share = len(part.index) * world / len(draw.index)
            with contextlib.nullcontext() if i == len(micro) - 1 else self.accelerator.no_sync(self.denoiser.network):
                with self.accelerator.autocast():
                    values = self.objective(part)
                self.accelerator.backward(share * values["loss"])
            for name, value in values.items():
                means[name] = (
                    means.get(name, 0.0) + share / world * self.accelerator.reduce(value.detach(), "sum").item()
                )
        return means

    def _resume(self, checkpoints: Checkpoints, updates: Updates) -> int:
        state = checkpoints.load(updates)
        if state is None:
            return 0
        self.history = state.extra["history"]
        print(f"continuing after step {state.step} of {self.steps}", flush=True)
        return state.step
