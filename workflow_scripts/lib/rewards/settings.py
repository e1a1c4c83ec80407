"""Hyperparameters of a reward head."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError

KINDS = ("rpl", "linear", "centroid")
VARIANTS = ("naive", "average", "voting", "bootstrap")
LOSSES = ("bce", "softmax")


@dataclass(frozen=True)
class RewardConfig:
    """How one reward head is trained; the defaults are those of config/runs/ganrm.yaml."""

    kind: str = "rpl"
    variant: str = "bootstrap"
    loss: str = "bce"
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    batch_size: int = 64
    epochs: int = 50
    dropout: float = 0.2
    holdout: float = 0.1
    checkpoints: int = 5
    bootstrap_positives: int = 500
    bootstrap_negatives: int = 500
    alpha: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("variant", VARIANTS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise UserError(f"unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}")
