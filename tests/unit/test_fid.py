"""Fréchet and kernel distances against clean-fid, closed forms and brute force."""

from itertools import combinations

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import fid
from workflow_scripts.lib.metrics.bootstrap import resample_counts, resample_indices

pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument", "ignore:Matrix is singular")
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def clean():
    """clean-fid's module of distances (its import takes seconds)."""
    from cleanfid import fid as module

    return module


def features(count: int, width: int, shift: float = 0.0) -> np.ndarray:
    """Correlated, non-negative features (count, width) with a decaying spectrum, like those of a network."""
    mixing = np.random.default_rng(width).standard_normal((width, width)) / np.arange(1, width + 1)[:, None] ** 0.5
    return np.maximum(RANDOM.standard_normal((count, width)) @ mixing + shift, 0)


@pytest.mark.parametrize(
    ("count", "references", "width"),
    [(200, 300, 32), (40, 300, 64), (300, 40, 64), (40, 50, 64), (64, 64, 64), (65, 20, 64), (2, 3, 5)],
)
def test_frechet_distance_is_that_of_clean_fid(clean, count, references, width):
    x, y = features(count, width), features(references, width, shift=0.3)
    moments = [part for z in (x, y) for part in (z.mean(axis=0), np.cov(z, rowvar=False))]
    ours = fid.frechet_distance(fid.fit_gaussian(x), fid.fit_gaussian(y))
    assert ours == pytest.approx(clean.frechet_distance(*moments), rel=1e-6)


def test_frechet_distance_of_float32_features_with_a_dead_unit_is_that_of_clean_fid(clean):
    x, y = features(300, 32).astype(np.float32), features(200, 32, shift=0.2).astype(np.float32)
    x[:, 5] = y[:, 5] = 0
    ours = fid.frechet_distance(fid.fit_gaussian(x), fid.fit_gaussian(y))
    assert ours == pytest.approx(clean.fid_from_feats(x, y), rel=1e-5)


def test_frechet_distance_of_one_feature_is_the_closed_form():
    x, y = RANDOM.normal(1, 2, (50, 1)), RANDOM.normal(4, 3, (70, 1))
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert fid.frechet_distance(fid.fit_gaussian(x), fid.fit_gaussian(y)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_by_hand():
    square = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    # covariances 4/3 and 16/3 times the identity: 3^2 + 2 (sqrt(4/3) - sqrt(16/3))^2 = 9 + 8/3
    distance = fid.frechet_distance(fid.fit_gaussian(square), fid.fit_gaussian(2 * square + [3, 0]))
    assert distance == pytest.approx(9 + 8 / 3, rel=1e-12)


def test_frechet_distance_is_exact_where_sqrtm_is_not():
    x, y = features(65, 64), features(2, 64, shift=0.3)
    # S2 = v v' for two references, so the trace of (S1 S2)^(1/2) is (v' S1 v)^(1/2); clean-fid is off by 7e-4 here
    v = (y[0] - y[1]) / np.sqrt(2)
    covariance = np.cov(x, rowvar=False)
    shift = x.mean(axis=0) - y.mean(axis=0)
    expected = shift @ shift + np.trace(covariance) + v @ v - 2 * np.sqrt(v @ covariance @ v)
    assert fid.frechet_distance(fid.fit_gaussian(x), fid.fit_gaussian(y)) == pytest.approx(expected, rel=1e-9)


def test_covariance_is_that_of_the_factor_in_both_regimes():
    for count in (10, 100):
        x = features(count, 20)
        gaussian = fid.fit_gaussian(x)
        np.testing.assert_allclose(gaussian.factor.T @ gaussian.factor, np.cov(x, rowvar=False), atol=1e-12)
        assert gaussian.trace == pytest.approx(np.trace(np.cov(x, rowvar=False)))
        assert len(gaussian.factor) <= 20


def test_too_few_images_are_refused_with_the_number_needed():
    with pytest.raises(UserError, match=r"'fid': 99 images are too few, at least 100 are needed"):
        fid.fit_gaussian(np.zeros((99, 3)), minimum=100, what="'fid'")
    with pytest.raises(UserError, match="at least 2 are needed"):
        fid.fit_gaussian(np.zeros((1, 3)), minimum=0)


@pytest.mark.parametrize(("count", "references", "size"), [(60, 90, 25), (60, 90, 1000), (60, 60, 1000)])
def test_kernel_distance_is_that_of_clean_fid(clean, count, references, size):
    x, y = features(count, 32), features(references, 32, shift=0.3)
    np.random.seed(7)
    expected = clean.kernel_distance(x, y, num_subsets=9, max_subset_size=size)
    assert fid.kernel_distance(x, y, 9, size, seed=7) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_depends_on_its_seed_alone():
    x, y = features(60, 16), features(90, 16, shift=0.3)
    np.random.seed(3)
    first = fid.kernel_distance(x, y, 5, 20, seed=1)
    state = np.random.get_state()[1].copy()
    assert fid.kernel_distance(x, y, 5, 20, seed=1) == first
    assert fid.kernel_distance(x, y, 5, 20, seed=2) != first
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(("count", "width", "by_samples"), [(30, 64, True), (90, 16, False), (40, 40, True)])
def test_bootstrap_is_the_distance_of_each_resample(count, width, by_samples):
    x, y = features(count, width), features(80, width, shift=0.3)
    reference = fid.fit_gaussian(y)
    assert (fid.SHARE_OF_DISTINCT * count < len(reference.factor)) == by_samples
    indices = resample_indices(count, 6, seed=0)
    counts = resample_counts(indices)
    frechet = [fid.frechet_distance(fid.fit_gaussian(x[rows]), reference) for rows in indices]
    np.testing.assert_allclose(fid.frechet_bootstrap(x, reference, counts), frechet, rtol=1e-6)


def test_kernel_bootstrap_is_the_distance_of_each_resample():
    x, y = features(50, 16), features(50, 16, shift=0.3)
    indices = resample_indices(50, 6, seed=0)
    expected = [fid.kernel_distance(x[rows], y) for rows in indices]
    np.testing.assert_allclose(fid.kernel_bootstrap(x, y, resample_counts(indices)), expected, rtol=1e-9)


def test_kernel_bootstrap_with_more_references_is_the_mean_over_all_subsets_of_them():
    x, y = features(4, 8), features(6, 8, shift=0.3)
    subsets = [fid.kernel_distance(x, y[list(rows)]) for rows in combinations(range(6), 4)]
    assert fid.kernel_bootstrap(x, y, np.ones((1, 4)))[0] == pytest.approx(np.mean(subsets), rel=1e-9)


def test_undrawn_bootstrap_is_the_point_estimate():
    for count, width in ((30, 64), (90, 16)):
        x, reference = features(count, width), fid.fit_gaussian(features(80, width, shift=0.3))
        distance = fid.frechet_distance(fid.fit_gaussian(x), reference)
        assert fid.frechet_bootstrap(x, reference, np.ones((1, count)))[0] == pytest.approx(distance, rel=1e-7)
