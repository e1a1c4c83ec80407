"""The paired bootstrap over prompts, against brute force and known distributions."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from workflow_scripts.lib.metrics import bootstrap

RANDOM = np.random.default_rng(1)


def counts_of(num_prompts: int, num_resamples: int = 2000, seed: int = 0) -> np.ndarray:
    return bootstrap.resample_counts(bootstrap.resample_indices(num_prompts, num_resamples, seed))


def test_draws_depend_on_the_number_of_prompts_and_the_seed_alone():
    first = bootstrap.resample_indices(50, 10, seed=3)
    np.testing.assert_array_equal(first, bootstrap.resample_indices(50, 10, seed=3))
    assert (first != bootstrap.resample_indices(50, 10, seed=4)).any()
    assert first.shape == (10, 50) and first.min() >= 0 and first.max() < 50
    assert len(np.unique(first[0])) < 50, "drawn with replacement"


def test_more_resamples_begin_with_the_same_ones():
    few, many = bootstrap.resample_indices(50, 10, seed=3), bootstrap.resample_indices(50, 20, seed=3)
    np.testing.assert_array_equal(few, many[:10])


def test_counts_say_how_often_a_prompt_is_drawn():
    indices = np.array([[0, 0, 2], [1, 2, 0]])
    np.testing.assert_array_equal(bootstrap.resample_counts(indices), [[2, 0, 1], [1, 1, 1]])


def test_means_of_resamples_leave_out_missing_values():
    values, indices = np.array([1.0, np.nan, 4.0, 10.0]), bootstrap.resample_indices(4, 300, seed=0)
    means = bootstrap.mean_bootstrap(values, bootstrap.resample_counts(indices))
    drawn = [values[row][~np.isnan(values[row])] for row in indices]
    expected = [row.mean() if len(row) else np.nan for row in drawn]
    assert np.isnan(expected).any(), "the seed draws a resample without any value"
    np.testing.assert_allclose(means, expected)


def test_interval_takes_the_quantiles():
    assert bootstrap.interval(50, np.arange(101.0)) == pytest.approx((50, 2.5, 97.5))
    assert bootstrap.interval(50, np.arange(101.0), confidence=0.9) == pytest.approx((50, 5, 95))


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = RANDOM.standard_normal(400)
    estimate = bootstrap.interval(values.mean(), bootstrap.mean_bootstrap(values, counts_of(400)))
    half = 1.96 * values.std() / np.sqrt(400)
    assert estimate.ci_low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert estimate.ci_high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_centring_moves_a_biased_column_and_keeps_its_spread():
    column = RANDOM.normal(7, 2, 500)
    moved = bootstrap.centred(column, 5.0)
    assert moved.mean() == pytest.approx(5)
    assert moved.std() == pytest.approx(column.std())
    difference = bootstrap.paired_difference(5, 1, moved, bootstrap.centred(column + 9, 1.0))
    assert difference == pytest.approx((4, 4, 4)), "the common bias and the common spread cancel"


def test_paired_differences_see_what_unpaired_ones_cannot():
    prompts = RANDOM.standard_normal(200)
    ours, base = prompts + 0.1 + 0.05 * RANDOM.standard_normal(200), prompts + 0.05 * RANDOM.standard_normal(200)
    columns = [bootstrap.mean_bootstrap(values, counts_of(200)) for values in (ours, base)]
    paired = bootstrap.paired_difference(ours.mean(), base.mean(), *columns)
    elsewhere = bootstrap.mean_bootstrap(base, counts_of(200, seed=1))
    unpaired = bootstrap.paired_difference(ours.mean(), base.mean(), columns[0], elsewhere)
    assert paired.ci_low > 0 > unpaired.ci_low
    assert paired.value == pytest.approx((ours - base).mean())


def test_columns_of_other_lengths_are_not_paired():
    with pytest.raises(ValueError, match="200 and 100"):
        bootstrap.paired_difference(0, 0, np.zeros(200), np.zeros(100))


def test_several_images_of_a_prompt_are_one_observation():
    prompts, values = bootstrap.per_prompt(np.array([7, 2, 7, 2, 5]), np.array([1.0, 4.0, 3.0, np.nan, np.nan]))
    np.testing.assert_array_equal(prompts, [2, 5, 7])
    np.testing.assert_array_equal(values, [4, np.nan, 2])


def test_copies_of_an_image_do_not_narrow_the_interval():
    ids, scores = np.arange(100), RANDOM.standard_normal(100)
    widths = []
    for copies in (1, 25):
        _, values = bootstrap.per_prompt(np.repeat(ids, copies), np.repeat(scores, copies))
        estimate = bootstrap.interval(values.mean(), bootstrap.mean_bootstrap(values, counts_of(len(values))))
        widths.append(estimate.ci_high - estimate.ci_low)
    assert widths[1] == pytest.approx(widths[0])


@pytest.mark.parametrize("values", [[3, 1, 2, 5, 4], [1, 1, 2, 2, 3], [5, 4, 3, 2, 1]])
def test_spearman_is_that_of_scipy_with_ties(values):
    assert bootstrap.spearman([1, 2, 3, 3, 5], np.array(values)) == pytest.approx(
        spearmanr([1, 2, 3, 3, 5], values).statistic
    )


def test_spearman_of_a_constant_is_undefined():
    assert np.isnan(bootstrap.spearman([1, 2, 3], np.array([2.0, 2.0, 2.0])))
