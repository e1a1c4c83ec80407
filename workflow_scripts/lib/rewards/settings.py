"""Hyperparameters of a reward head."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..options import option

KINDS = ("rpl", "linear", "centroid")
VARIANTS = ("naive", "average", "voting", "bootstrap")
LOSSES = ("bce", "softmax")


@dataclass(frozen=True)
class RewardSettings:
    """How one reward head is trained; the defaults are those of config/runs/ganrm.yaml."""

    kind: str = option("rpl (Tab. 6), linear, or centroid, which needs no --negatives", "rpl")
    variant: str = option("naive, average, voting or bootstrap (Tab. 4)", "bootstrap")
    loss: str = option("bce per output, or softmax", "bce")
    learning_rate: float = option("of AdamW", 1e-4)
    weight_decay: float = option("of AdamW", 1e-2)
    batch_size: int = option("images per step; an incomplete last batch is dropped", 64)
    epochs: int = option("passes over the training images", 50)
    dropout: float = option("after the first hidden layer", 0.2)
    holdout: float = option("share of each class held out to report accuracy", 0.1)
    checkpoints: int = option("heads kept at regular steps, for average and voting", 5)
    bootstrap_positives: int = option("top-ranked images that become pseudo-positives", 500)
    bootstrap_negatives: int = option("lowest-ranked images that become negatives", 500)
    alpha: float | None = option("decay of the pseudo-labels with rank; ln 2 / positives when left out", None)

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("variant", VARIANTS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise UserError(f"unknown {name} '{getattr(self, name)}'; known: {', '.join(known)}")
