"""Bootstrapping of GAN-RM (arXiv 2506.13846, Sec. 3.2): pseudo-labels from the reward model's own ranking."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import UserError


def rank_labels(m: int, alpha: float | None = None) -> Tensor:
    """Soft labels y(r) = exp(-α r) of ranks r = 0 (best) … m - 1, float32 (m,).

    The form is from the paper's public reviews, α is not public; the default α = ln 2 / m keeps labels in (½, 1].
    """
    decay = math.log(2) / max(m, 1) if alpha is None else alpha
    return torch.exp(-decay * torch.arange(m, dtype=torch.float64)).float()


def bootstrap_set(rewards: Tensor, m_top: int, m_bottom: int, alpha: float | None = None) -> tuple[Tensor, Tensor]:
    """Indices (m_top + m_bottom,) and labels of D_f+ (highest rewards, rank labels) and D_f- (lowest rewards, 0).

    `rewards` (N,) may be logits; equal rewards keep the order of the pool. UserError when N < m_top + m_bottom.
    """
    if m_top + m_bottom > len(rewards):
        raise UserError(
            f"bootstrapping takes the top {m_top} and the bottom {m_bottom} of the pool, which holds only "
            f"{len(rewards)} images; lower --bootstrap-positives and --bootstrap-negatives or give more --pool files"
        )
    order = torch.argsort(rewards.double(), descending=True, stable=True)
    indices = torch.cat([order[:m_top], order[len(order) - m_bottom :]])
    return indices, torch.cat([rank_labels(m_top, alpha), torch.zeros(m_bottom)])
