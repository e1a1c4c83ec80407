"""Fréchet and kernel distances of cached features, with the values of clean-fid at a fraction of its time.

clean-fid takes the trace of `sqrtm(S1 @ S2)`. With S = F'F for a factor F (r, d) that trace is the nuclear norm of
F1 F2', the sum of square roots of the eigenvalues of a symmetric matrix no larger than the number of samples or of
features, whichever is smaller: `eigvalsh` instead of a Schur decomposition, and no rounding errors under a square root
where fewer samples than features leave `sqrtm` a singular matrix.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError

SHARE_OF_DISTINCT = 0.64  # 1 - 1/e of the samples appear in a resample


@dataclass(frozen=True)
class Gaussian:
    """Moments of N feature vectors, float64: mean (d,), factor (r, d) covariance = factor.T @ factor, r <= N, d."""

    mean: np.ndarray
    factor: np.ndarray

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.square(self.factor).sum())


def require_images(count: int, minimum: int, what: str) -> None:
    """Raise UserError when `count` images are too few for a meaningful distance."""
    needed = max(minimum, 2)
    if count < needed:
        raise UserError(
            f"{what}: {count} images are too few, at least {needed} are needed; "
            f"make more images, or lower minimum_images_for_fid of the scale if a biased value will do"
        )


def fit_gaussian(features: np.ndarray, minimum: int = 2, what: str = "Fréchet distance") -> Gaussian:
    """Mean and unbiased covariance (as a factor) of features (N, d); UserError when N < minimum."""
    require_images(len(features), minimum, what)
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    return Gaussian(mean, _factor(centred))


def frechet_distance(sample: Gaussian, reference: Gaussian) -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Heusel et al., arXiv 1706.08500, Eq. 6), clean-fid's within 1e-6."""
    cross = sample.factor @ reference.factor.T
    gram = cross @ cross.T if len(cross) <= cross.shape[1] else cross.T @ cross
    shift = sample.mean - reference.mean
    return float(shift @ shift + sample.trace + reference.trace - 2 * _nuclear_norm(gram))


def kernel_distance(
    features: np.ndarray, reference: np.ndarray, num_subsets: int = 100, max_subset_size: int = 1000, seed: int = 0
) -> float:
    """Unbiased KID of features (N, d) and (M, d), kernel (x'y/d + 1)^3 (Binkowski et al., arXiv 1801.01401).

    The value of clean-fid's `kernel_distance(features, reference)` after `numpy.random.seed(seed)`. When every subset
    would hold all images, one is enough.
    """
    x, y = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    size = min(len(x), len(y), max_subset_size)
    if size == len(x) == len(y):
        return _mmd2(x, y)
    random = np.random.RandomState(seed % 2**32)

    def draw(rows: np.ndarray) -> np.ndarray:
        return rows[random.choice(len(rows), size, replace=False)]

    total = 0.0
    for _ in range(num_subsets):
        other = draw(y)  # clean-fid draws from its second argument first
        total += _mmd2(draw(x), other)
    return total / num_subsets


def frechet_bootstrap(features: np.ndarray, reference: Gaussian, counts: np.ndarray) -> np.ndarray:
    """Fréchet distances (R,) of resamples of features (N, d); counts (R, N), rows sum to N: how often each is drawn.

    The features are projected on the reference factor once. A resample then costs the eigenvalues of a matrix as large
    as the number of distinct samples in it (0.64 N) or the reference's rank, whichever is smaller.
    """
    features = np.asarray(features, np.float64)
    num, mean = len(features), features.mean(axis=0)
    centred = features - mean
    moved = counts @ centred / num
    traces = (counts @ np.square(centred).sum(axis=1) - num * np.square(moved).sum(axis=1)) / (num - 1)
    projected = centred @ reference.factor.T / np.sqrt(num - 1)
    by_samples = SHARE_OF_DISTINCT * num < projected.shape[1]
    gram_of = _sample_gram(projected) if by_samples else _feature_gram(projected)
    norms = np.array([_nuclear_norm(gram_of(row)) for row in counts])
    return np.square(moved + mean - reference.mean).sum(axis=1) + traces + reference.trace - 2 * norms


def kernel_bootstrap(features: np.ndarray, reference: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """KIDs (R,) of resamples of features (N, d), counts (R, N) as above.

    They are over all pairs at once, which is what the subsets of `kernel_distance` estimate.
    """
    x, y = np.asarray(features, np.float64), np.asarray(reference, np.float64)
    num, kernel = len(x), _kernel(x, x)
    within = np.einsum("rn,rn->r", counts @ kernel, counts) - counts @ np.diag(kernel)
    across = counts @ _kernel(x, y).mean(axis=1)
    return within / (num * (num - 1)) + _mean_off_diagonal(_kernel(y, y)) - 2 * across / num


def _factor(centred: np.ndarray) -> np.ndarray:
    """A factor (r, d), r <= min(N, d), with the same product factor.T @ factor as the rows (N, d) themselves."""
    if len(centred) <= centred.shape[1]:
        return centred
    try:
        return np.linalg.cholesky(centred.T @ centred).T
    except np.linalg.LinAlgError:  # singular, for example by a feature that is always 0; QR takes three times as long
        return np.linalg.qr(centred, mode="r")


def _nuclear_norm(gram: np.ndarray) -> float:
    """Sum of singular values of a matrix from its symmetric Gram matrix (n, n)."""
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None)).sum())


def _sample_gram(projected: np.ndarray):
    """Gram matrix in sample space of the resample `count` (N,): distinct rows, weighted and centred."""
    kernel = projected @ projected.T

    def gram(count: np.ndarray) -> np.ndarray:
        rows = np.flatnonzero(count)
        weight, block = count[rows], kernel[np.ix_(rows, rows)]
        offset = block @ weight / len(count)
        offset = offset - weight @ offset / (2 * len(count))
        root = np.sqrt(weight)
        return (block - offset[:, None] - offset) * root[:, None] * root

    return gram


def _feature_gram(projected: np.ndarray):
    """Gram matrix in feature space of the resample `count` (N,)."""

    def gram(count: np.ndarray) -> np.ndarray:
        weighted = np.sqrt(count)[:, None] * projected
        moved = count @ projected
        return weighted.T @ weighted - np.outer(moved, moved) / len(count)

    return gram


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_off_diagonal(kernel: np.ndarray) -> float:
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of (N, d) and (M, d)."""
    return float(_mean_off_diagonal(_kernel(x, x)) + _mean_off_diagonal(_kernel(y, y)) - 2 * _kernel(x, y).mean())
