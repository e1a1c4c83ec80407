"""What the benchmarks of a GPU share: the machine they need, its matrix rate, and work that is timed to its end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workflow_scripts.lib.errors import UserError

from .common import Comparison, report

MEMORY_GIB = 78
SIDE = 8192  # of the matrices whose product is the rate that others are shares of


class Run(NamedTuple):
    """Where and how a benchmark runs: `size` is true or small, `dtype` that of the paper's scale, or float32."""

    size: str
    device: torch.device
    dtype: torch.dtype
    rounds: int
    compile: bool

    @property
    def small(self) -> bool:
        """Whether only the code is exercised."""
        return self.size == "small"

    def goal(self, value: float) -> float | None:
        """A goal, where it can be reached or missed."""
        return None if self.small else value


def lacking(memory_gib: float = MEMORY_GIB) -> str | None:
    """Why what needs a GPU cannot be measured here, if it cannot."""
    reason = f"needs a CUDA GPU with {memory_gib:g} GiB"
    if not torch.cuda.is_available():
        return f"{reason}; there is none"
    found = torch.cuda.get_device_properties(0).total_memory / 2**30
    return None if found >= memory_gib else f"{reason}; this one has {found:.0f} GiB"


def parse(description: str, argv: Sequence[str] | None) -> Run:
    """The command line of a benchmark; UserError for the true size where there is no GPU for it."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--small", action="store_true", help="small models, to see that both sides make the same")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--compile", action="store_true", help="our side compiles the denoiser's repeated blocks")
    args = options.parse_args(argv)
    torch.set_num_threads(1)
    if args.small:
        torch.backends.cudnn.allow_tf32 = False  # float32 as on a CPU
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # accelerate's choice, too
        return Run("small", device, torch.float32, 1, args.compile)
    if missing := lacking():
        raise UserError(f"this benchmark {missing}; nothing was measured. --small exercises its code on a CPU")
    return Run("true", torch.device("cuda"), torch.float16, args.rounds, args.compile)


def tell(name: str, run: Run, goal: str, comparisons: list[Comparison], **about: Any) -> None:
    """The report of a benchmark; that of small models claims nothing."""
    if run.small:
        told = "both sides equal for small models; no ratio, as the goal is for the true size on a GPU"
        print(told, flush=True)
        report(name, [], not_measured=told, goal=goal, size=run.size)
        return
    peak = torch.cuda.max_memory_allocated() / 2**30
    report(name, comparisons, size=run.size, device=torch.cuda.get_device_name(), peak_gib=peak, **about)


def finished(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work until the GPU is done with it."""

    def whole() -> Any:
        found = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return found

    return whole


def flops_of(work: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and attention, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def matrix_products(flops: int, run: Run) -> Callable[[], Tensor]:
    """Products of square bfloat16 matrices with as many operations, but at least one."""
    side = 64 if run.small else SIDE
    a, b = (torch.randn(side, side, device=run.device, dtype=torch.bfloat16) for _ in range(2))

    def multiply() -> Tensor:
        for _ in range(max(1, round(flops / (2 * side**3)))):
            found = a @ b
        return found

    return finished(multiply)


def levels_apart(ours: Tensor, theirs: Tensor) -> float:
    """Mean distance of images in levels of 255."""
    return (ours.float() - theirs.float()).abs().mean().item()


def same_images(run: Run) -> Callable[[Tensor, Tensor], bool]:
    """Whether images are equal: in float32 but for rounding to levels; in float16 a last bit grows over the steps."""
    limit = 0.01 if run.small else 2.0

    def same(ours: Tensor, theirs: Tensor) -> bool:
        apart = levels_apart(ours, theirs)
        print(f"images {apart:.3g} levels apart", flush=True)
        return apart <= limit and theirs.float().std().item() > 1

    return same
