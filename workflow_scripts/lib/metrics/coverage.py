"""How well one set of images covers another in a feature space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import UserError


class Coverage(NamedTuple):
    """Shares of a set inside the manifold of the references (precision), and of the references inside its (recall)."""

    precision: float
    recall: float


def precision_recall(features: np.ndarray, references: np.ndarray, k: int = 3) -> Coverage:
    """Improved precision and recall (Kynkäänniemi et al., arXiv 1904.06991) of features (N, d) and references (M, d).

    The manifold of a set is the union of balls around its points, each as wide as the distance to the k-th nearest
    other point. Recall grows with N, so compare sets of one size. UserError for a set of k points or fewer.
    """
    for name, points in (("features", features), ("references", references)):
        if len(points) <= k:
            raise UserError(f"precision and recall look for the {k} nearest of {len(points)} {name}; give more images")
    return Coverage(precision=_inside(features, references, k), recall=_inside(references, features, k))


def _inside(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    """Share of `points` in some ball of the `manifold`."""
    from scipy.spatial.distance import cdist

    radii = np.partition(cdist(manifold, manifold), k, axis=1)[:, k]  # place 0 is the point itself
    return float((cdist(points, manifold) <= radii).any(axis=1).mean())
