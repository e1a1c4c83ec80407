"""The one optimisation loop of SFT and DPO: accumulation, clipping, schedule, average, state, several GPUs."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..progress import progress
from .denoiser import Denoiser
from .noise import StepDraw
from .settings import TrainingSettings
from .state import load_state, save_state

Objective = Callable[[StepDraw], dict[str, Tensor]]
"""Means over a micro-batch; `loss` is minimised, everything is logged."""


@dataclass
class Training:
    """A training of `steps` optimiser steps; `draw(step)` gives a whole step's examples, the same on every process."""

    denoiser: Denoiser
    settings: TrainingSettings
    steps: int
    draw: Callable[[int], StepDraw]
    objective: Objective
    accelerator: object
    folder: Path
    fingerprint: str
    history: list[dict[str, float]] = field(default_factory=list)

    def run(self) -> list[dict[str, float]]:
        """Train to the end, continuing from a state of the same fingerprint; returns a row of logged means per step."""
        parameters, settings = self.denoiser.trained(), self.settings
        optimizer = self._optimizer(list(parameters.values()))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._learning_rate_factor)
        average = {name: p.detach().clone() for name, p in parameters.items()} if settings.ema_decay else {}
        first = self._resume(parameters, average, optimizer=optimizer, schedule=schedule)
        saved = time.monotonic()
        for step in progress(range(first, self.steps), self.steps - first, "training"):
            row = self._step(step, optimizer, list(parameters.values()))
            schedule.step()
            self._update(average, parameters)
            self.history.append({"step": step + 1, "lr": schedule.get_last_lr()[0], **row})
            if time.monotonic() - saved > settings.checkpoint_seconds and self.accelerator.is_main_process:
                self._save(step + 1, parameters, average, optimizer=optimizer, schedule=schedule)
                saved = time.monotonic()
        for name, value in average.items():
            parameters[name].data.copy_(value)
        return self.history

    def _optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        s = self.settings
        if s.optimizer == "adafactor":  # as DiffusionDPO trains SDXL
            from transformers import Adafactor

            fixed = {"scale_parameter": False, "relative_step": False}
            return Adafactor(parameters, lr=s.learning_rate, weight_decay=s.adam_weight_decay, **fixed)
        return torch.optim.AdamW(
            parameters,
            lr=s.learning_rate,
            betas=(s.adam_beta1, s.adam_beta2),
            weight_decay=s.adam_weight_decay,
            eps=s.adam_epsilon,
            fused=parameters[0].is_cuda,
        )

    def _learning_rate_factor(self, step: int) -> float:
        warm = min(1.0, (step + 1) / max(1, self.settings.lr_warmup_steps))
        if self.settings.lr_scheduler == "cosine":
            return warm * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return warm

    def _step(
        self, step: int, optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]
    ) -> dict[str, float]:
        draw, world = self.draw(step), self.accelerator.num_processes
        own = StepDraw(*(values[self.accelerator.process_index :: world] for values in draw))
        micro = [
            StepDraw(*parts) for parts in zip(*(values.split(self.settings.batch_size) for values in own), strict=True)
        ]
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
        self._refuse_nan(means["loss"], step)
        means["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm).item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return means

    def _refuse_nan(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {step + 1} of {self.steps}; nothing was written over. "
                f"Lower learning_rate (now {self.settings.learning_rate:g}) or max_grad_norm in config/runs "
                "or the scale's file, or set mixed_precision to no"
            )

    def _update(self, average: dict[str, Tensor], parameters: dict[str, torch.nn.Parameter]) -> None:
        for name, value in average.items():
            value.lerp_(parameters[name].detach(), 1 - self.settings.ema_decay)

    def _resume(self, parameters: dict[str, torch.nn.Parameter], average: dict[str, Tensor], **stateful) -> int:
        state = load_state(self.folder, self.fingerprint)
        if state is None:
            return 0
        for name, tensor in state.tensors.items():
            kind, _, name = name.partition("/")
            (parameters[name].data if kind == "weight" else average[name]).copy_(tensor)
        state.restore(**stateful)
        self.history = state.extra["history"]
        print(f"continuing after step {state.step} of {self.steps}", flush=True)
        return state.step

    def _save(
        self, step: int, parameters: dict[str, torch.nn.Parameter], average: dict[str, Tensor], **stateful
    ) -> None:
        tensors = {f"weight/{name}": p.detach() for name, p in parameters.items()}
        tensors |= {f"average/{name}": value for name, value in average.items()}
        save_state(
            self.folder,
            step,
            tensors=tensors,
            fingerprint=self.fingerprint,
            extra={"history": self.history},
            **stateful,
        )
