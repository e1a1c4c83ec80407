"""Rewards of cached features: logits of every head, and how an ensemble makes one reward of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import UserError
from .reward_heads import Head, RewardModel, reward_logit


@torch.inference_mode()
def head_logits(head: Head, features: Tensor, loss: str, batch_size: int = 4096) -> Tensor:
    """Reward logits (N,) of one head, put into eval mode, for features (N, 2d)."""
    head.eval()
    chunks = features.split(batch_size)
    return torch.cat([reward_logit(head(chunk.to(head.out.weight)), loss) for chunk in chunks]).cpu()


def mean_score_logit(logits: Tensor) -> Tensor:
    """Logit (N,) of the mean over heads of σ(logits (H, N)), exact where σ saturates; the logit itself for one head."""
    if len(logits) == 1:
        return logits[0]
    high, low = (torch.logsumexp(logsigmoid(sign * logits.double()), dim=0) for sign in (1, -1))
    return high - low


def score_features(model: RewardModel, features: Tensor, batch_size: int = 4096) -> dict[str, Tensor]:
    """Columns for features (N, 2d): `reward` in [0, 1], its `logit` (rank on this one) and, for voting, `vote{i}`.

    `vote{i}` is the logit of checkpoint i: votes depend on the K candidates, so they are cast in the selection.
    UserError when the features are of another width than the head.
    """
    if features.ndim != 2 or features.shape[1] != model.width:
        raise UserError(
            f"the reward head was trained on features of width {model.width} ({model.encoder or 'unknown encoder'}), "
            f"these have shape {tuple(features.shape)}; encode the images with the head's encoder"
        )
    logits = torch.stack([head_logits(head, features, model.loss, batch_size) for head in model.heads])
    logit = mean_score_logit(logits)
    columns = {"reward": torch.sigmoid(logit.double()), "logit": logit}
    if model.variant == "voting":
        columns |= {f"vote{i}": votes for i, votes in enumerate(logits)}
    if not all(column.isfinite().all() for column in columns.values()):
        raise UserError("rewards are not finite: the features or the head hold NaN or inf; remake both")
    return columns
