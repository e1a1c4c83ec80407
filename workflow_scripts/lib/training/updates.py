"""What an optimiser step does to the trained weights, and what a state keeps of it; SFT, DPO and GRPO share it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import UserError
from .denoiser import Denoiser
from .settings import OptimiserSettings
from .state import Stateful, TrainingState, load_state, newest_state, save_state

T = TypeVar("T")
PATIENCE = timedelta(hours=2)
"""For which the others wait while the first process writes or checks a state; torch gives up after 10 minutes."""
SHARE_OF_SAVING = 0.02
"""Of the time, at most: a state of SDXL with its optimiser has 31 GB."""


class Updates:
    """The optimiser steps of a denoiser: clipping, learning-rate schedule and moving average of its weights."""

    def __init__(self, denoiser: Denoiser, settings: OptimiserSettings, steps: int) -> None:
        self.settings, self.steps, self.step = settings, steps, 0
        self.parameters = denoiser.trained()
        self.optimizer = self._optimizer(list(self.parameters.values()))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._learning_rate_factor)
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()} if settings.ema_decay else {}

    def apply(self, loss: float) -> dict[str, float]:
        """Step along the gradients accumulated of a loss; both must be finite (UserError). Returns their norm."""
        self._refuse_nan("loss", loss)
        parameters = list(self.parameters.values())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.max_grad_norm).item()
        self._refuse_nan("norm of the gradient", norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        self.step += 1
        if self.step % self.settings.ema_every == 0:
            for name, value in self.average.items():
                value.lerp_(self.parameters[name].detach(), 1 - self._decay_of_average())
        return {"grad_norm": norm}

    def learning_rate(self) -> float:
        """That of the next step."""
        return self.schedule.get_last_lr()[0]

    def _decay_of_average(self) -> float:
        """Of its n-th update: (1 + n) / (10 + n) up to `ema_decay`, so that short trainings forget where they began."""
        n = self.step // self.settings.ema_every
        return min(self.settings.ema_decay, (1 + n) / (10 + n))

    def take_average(self) -> None:
        """Replace the weights by their moving average, if there is one."""
        for name, value in self.average.items():
            self.parameters[name].data.copy_(value)

    def tensors(self) -> dict[str, Tensor]:
        """Weights and averages, for a state."""
        weights = {f"weight/{name}": p.detach() for name, p in self.parameters.items()}
        return weights | {f"average/{name}": value for name, value in self.average.items()}

    def stateful(self) -> dict[str, Stateful]:
        """What else a state keeps."""
        return {"optimizer": self.optimizer, "schedule": self.schedule}

    def restore(self, state: TrainingState, **stateful: Stateful) -> None:
        """Take over a state, and `stateful` with it."""
        for name, tensor in state.tensors.items():
            kind, _, name = name.partition("/")
            (self.parameters[name].data if kind == "weight" else self.average[name]).copy_(tensor)
        state.restore(**self.stateful(), **stateful)
        self.step = self.schedule.last_epoch

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

    def _refuse_nan(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise UserError(
                f"the {name} is {value} at step {self.step + 1} of {self.steps}; nothing was written over. "
                f"Lower learning_rate (now {self.settings.learning_rate:g}) or max_grad_norm in config/runs "
                "or the scale's file, or set mixed_precision to no"
            )


def accelerator_of(settings: OptimiserSettings):
    """The processes of a training: those it was started with, on GPUs, or on CPUs where there is none.

    Those of one machine share the threads of the job, which each would else take for its own.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs

    torch.set_num_threads(max(1, torch.get_num_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))
    shared = {"gradient_as_bucket_view": True, "broadcast_buffers": False}  # SD3's one is a constant table of 0.9 GB
    handlers = [InitProcessGroupKwargs(timeout=PATIENCE), DistributedDataParallelKwargs(**shared)]
    return Accelerator(
        mixed_precision=settings.mixed_precision, cpu=not torch.cuda.is_available(), kwargs_handlers=handlers
    )


def from_first(accelerator, make: Callable[[], T]) -> T:
    """What the first process makes, or sees in a shared folder, of which another node may see an older state."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([make() if accelerator.is_main_process else None])[0]


class Checkpoints:
    """States of a training in a folder, one every `seconds`, less often where saving takes long; 0 saves each time."""

    def __init__(self, folder: Path, fingerprint: str, seconds: float, accelerator) -> None:
        self.folder, self.fingerprint, self.seconds = folder, fingerprint, seconds
        self.accelerator = accelerator
        self._due = time.monotonic() + seconds

    def load(self, updates: Updates, **stateful: Stateful) -> TrainingState | None:
        """Continue from the newest state of this fingerprint, if there is one; its `extra` is the caller's."""
        path = from_first(self.accelerator, lambda: newest_state(self.folder, self.fingerprint))
        if path is None:
            return None
        state = load_state(path)
        updates.restore(state, **stateful)
        return state

    def save_if_due(self, step: int, updates: Updates, extra: dict, **stateful: Stateful) -> None:
        """Save the state after `step`, if the last one is old enough; the first process does."""
        start = time.monotonic()
        if start <= self._due or not self.accelerator.is_main_process:
            return
        save_state(
            self.folder,
            step,
            tensors=updates.tensors(),
            fingerprint=self.fingerprint,
            extra=extra,
            **updates.stateful(),
            **stateful,
        )
        took = time.monotonic() - start
        self._due = time.monotonic() + (self.seconds and max(self.seconds, took / SHARE_OF_SAVING))
