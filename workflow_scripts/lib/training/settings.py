"""Hyperparameters of post-training, under the names of diffusers' examples, and of GRPO."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError


@dataclass(frozen=True)
class TrainingSettings:
    """One gradient step sees batch_size x gradient_accumulation_steps examples, whatever the number of GPUs."""

    learning_rate: float
    batch_size: int = 8
    gradient_accumulation_steps: int = 2
    epochs: int = 1
    max_steps: int | None = None
    lr_scheduler: str = "constant_with_warmup"
    lr_warmup_steps: int = 500
    optimizer: str = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_weight_decay: float = 1e-2
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    caption_dropout: float = 0.2
    scope: str = "full"
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_targets: str | None = None
    mixed_precision: str = "no"
    gradient_checkpointing: bool = False
    ema_decay: float | None = None
    ema_every: int = 1
    checkpoint_seconds: float = 60.0

    @property
    def examples_per_step(self) -> int:
        """Examples of one optimiser step."""
        return self.batch_size * self.gradient_accumulation_steps

    def steps(self, num_examples: int) -> int:
        """Optimiser steps: max_steps, else whole epochs (the last step of an epoch may borrow from the next)."""
        return self.max_steps or -(-num_examples * self.epochs // self.examples_per_step)


@dataclass(frozen=True)
class RolloutSettings:
    """How groups are sampled; the stochastic steps are a window of `window_width` steps from `window_start` on.

    UserError for groups of one, whose rewards have nothing to be compared with.
    """

    group_size: int
    sampling_steps: int
    guidance_scale: float
    sampler: str
    noise_level: float
    window_start: int | str
    window_width: int

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise UserError(
                f"a group of {self.group_size} has no others to compare its image with; set group_size to 2 or more"
            )


@dataclass(frozen=True)
class GRPOSettings(RolloutSettings):
    """Rollouts and what is made of them; a generator epoch has `updates_per_epoch` optimiser steps on one rollout."""

    generator_epochs: int
    groups_per_epoch: int
    updates_per_epoch: int
    micro_batch_size: int
    clip_range: float
    advantage_clip: float
    advantage_std: str
    kl_weight: float
    kl_form: str

    @property
    def images_per_epoch(self) -> int:
        """Images of one rollout."""
        return self.groups_per_epoch * self.group_size
