"""The plain training loop that all models of the zoo share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ..progress import progress


def minimise(
    parameters: Iterable[nn.Parameter] | Iterable[dict],
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    learning_rate: float,
    desc: str,
) -> None:
    """AdamW with a short warm-up and a cosine decay on `loss_of_step(step)`; gradients clipped at norm 1.

    `parameters` may be AdamW's groups, with learning rates of their own.
    """
    optimizer = torch.optim.AdamW(list(parameters), lr=learning_rate, weight_decay=1e-2, betas=(0.9, 0.99))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_cosine(step, steps))
    for step in progress(range(steps), steps, desc):
        loss = loss_of_step(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 20) == 0:
            print(f"{desc}: step {step}, loss {loss.item():.4f}", flush=True)


def _warm_cosine(step: int, steps: int, warmup: int = 200) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


class ExponentialAverage:
    """Exponential moving average of a module's parameters; `copy_to` puts the averages into it."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.shadow = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        """One step of the average."""
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.module.parameters()], 1 - self.decay)

    @torch.no_grad()
    def copy_to(self) -> None:
        """Replace the module's parameters by their averages."""
        for parameter, average in zip(self.module.parameters(), self.shadow, strict=True):
            parameter.copy_(average)
