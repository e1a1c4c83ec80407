"""Hyperparameters of post-training, under the names of diffusers' examples, and of GRPO."""

from __future__ import annotations

from dataclasses import dataclass

from ..diffusion.settings import RolloutSettings
from ..options import option


@dataclass(frozen=True)
class OptimiserSettings:
    """Which weights are trained and what an optimiser step does to them."""

    learning_rate: float = option("after the warm-up")
    lr_scheduler: str = option("constant_with_warmup or cosine", "constant_with_warmup")
    lr_warmup_steps: int = option("optimiser steps of linear warm-up", 0)
    optimizer: str = option("adamw or adafactor", "adamw")
    adam_beta1: float = option("of AdamW", 0.9)
    adam_beta2: float = option("of AdamW", 0.999)
    adam_weight_decay: float = option("of either optimiser", 1e-2)
    adam_epsilon: float = option("of AdamW", 1e-8)
    max_grad_norm: float = option("to which gradients are clipped", 1.0)
    scope: str = option("full: every weight of the denoiser; lora: adapters on its attention", "full")
    lora_rank: int | None = option("of the adapters", None)
    lora_alpha: float | None = option("an adapter counts lora_alpha / lora_rank times (default: once)", None)
    lora_targets: str | None = option(
        "attn: SD3's joint attention; attn_and_attn2: also its second one (default: each to_q, to_k, to_v)",
        None,
        choices=("attn", "attn_and_attn2"),
    )
    mixed_precision: str = option("no or bf16", "no")
    gradient_checkpointing: bool = option("compute activations anew in the backward pass, which saves memory", False)
    ema_decay: float | None = option("average the weights over steps with this decay, less at first", None)
    ema_every: int = option("optimiser steps from one update of the average to the next", 1)
    checkpoint_seconds: float = option("seconds between states, more where saving takes long; 0: each step", 60.0)


@dataclass(frozen=True)
class TrainingSettings(OptimiserSettings):
    """One gradient step sees batch_size x gradient_accumulation_steps examples, whatever the number of GPUs."""

    lr_warmup_steps: int = option("optimiser steps of linear warm-up", 500)
    batch_size: int = option("examples at once on a device", 8)
    gradient_accumulation_steps: int = option("batches of an optimiser step, all devices together", 2)
    epochs: int = option("passes over the examples, unless max_steps is given", 1)
    max_steps: int | None = option("optimiser steps", None)
    caption_dropout: float = option("share of captions replaced by the empty prompt", 0.2)

    @property
    def examples_per_step(self) -> int:
        """Examples of one optimiser step."""
        return self.batch_size * self.gradient_accumulation_steps

    def steps(self, num_examples: int) -> int:
        """Optimiser steps: max_steps, else whole epochs (the last step of an epoch may borrow from the next)."""
        return self.max_steps or -(-num_examples * self.epochs // self.examples_per_step)


@dataclass(frozen=True)
class GRPOSettings(RolloutSettings):
    """Rollouts and what is made of them; a generator epoch has `updates_per_epoch` optimiser steps on one rollout."""

    generator_epochs: int = option("epochs that update the generator")
    groups_per_epoch: int = option("prompts of a rollout")
    updates_per_epoch: int = option("optimiser steps on one rollout")
    micro_batch_size: int = option("images at once on a device, in rollout and update")
    clip_range: float = option("half-width of the interval around 1 of likelihood ratios")
    advantage_clip: float = option("largest size of an advantage")
    advantage_std: str = option("group or global: what advantages are divided by", choices=("group", "global"))
    kl_weight: float = option("weight of the divergence from where training starts")
    kl_form: str = option("as_coded or closed_form", choices=("as_coded", "closed_form"))

    @property
    def images_per_epoch(self) -> int:
        """Images of one rollout."""
        return self.groups_per_epoch * self.group_size
