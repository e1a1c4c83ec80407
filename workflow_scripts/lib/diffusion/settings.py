"""Hyperparameters of rollouts; apart from them, so that a command line knows its options without torch."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..options import option


@dataclass(frozen=True)
class RolloutSettings:
    """How groups are sampled; the stochastic steps are a window of `window_width` steps from `window_start` on.

    UserError for groups of one, whose rewards have nothing to be compared with.
    """

    group_size: int = option("images of one prompt, whose rewards are compared")
    sampling_steps: int = option("denoising steps of a rollout")
    guidance_scale: float = option("classifier-free guidance in rollouts and updates; 1 is none")
    sampler: str = option("stochastic steps: cps or sde", choices=("cps", "sde"))
    noise_level: float = option("noise of the stochastic steps")
    window_start: int | str = option("first stochastic step, from 0, or random")
    window_width: int = option("stochastic steps")

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise UserError(
                f"a group of {self.group_size} has no others to compare its image with; set group_size to 2 or more"
            )
