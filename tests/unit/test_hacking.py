"""Signs of reward hacking, by hand."""

import numpy as np
import pytest

from workflow_scripts.lib.metrics.hacking import colour_entropy, dark_pixels, edge_density
from workflow_scripts.lib.rewards.scorers import load_scorer


def halves(left: tuple, right: tuple) -> np.ndarray:
    """One image (1, 4, 4, 3): two columns of each colour."""
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[:, :, :2], image[:, :, 2:] = left, right
    return image


def test_dark_pixels_are_those_below_the_threshold_of_luma():
    assert dark_pixels(halves((0, 0, 0), (255, 255, 255))).tolist() == [0.5]
    assert dark_pixels(halves((0, 0, 255), (0, 0, 255))).tolist() == [1.0]  # luma 0.114
    assert dark_pixels(halves((38, 38, 38), (39, 39, 39))).tolist() == [0.5]  # 38 / 255 = 0.149, 39 / 255 = 0.153


def test_edge_density_is_the_mean_step_in_both_directions():
    image = halves((0, 0, 0), (255, 255, 255))  # one of three steps to the right is 1, none of those down
    assert edge_density(image)[0] == pytest.approx((1 / 3 + 0) / 2)
    assert edge_density(image.transpose(0, 2, 1, 3))[0] == pytest.approx(1 / 6)
    assert edge_density(halves((80, 10, 3), (80, 10, 3))).tolist() == [0]


def test_colour_entropy_counts_colours_in_bits():
    assert colour_entropy(halves((9, 9, 9), (9, 9, 9))).tolist() == [0]
    assert colour_entropy(halves((0, 0, 0), (255, 0, 0)))[0] == pytest.approx(1)
    assert colour_entropy(halves((0, 0, 0), (31, 0, 0)))[0] == pytest.approx(0)  # the same of eight levels
    assert colour_entropy(halves((0, 0, 0), (32, 0, 0)))[0] == pytest.approx(1)
    quarter = halves((0, 0, 0), (255, 0, 0))
    quarter[:, :2, 2:] = (0, 255, 0)  # shares 1/2, 1/4, 1/4
    assert colour_entropy(quarter)[0] == pytest.approx(1.5)


def test_a_blanked_image_shows_every_sign():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    blank = np.zeros_like(scene)
    blank[:, 12:16, 8:24] = 255
    scores = load_scorer({"class": "ImageStatistics"}).encode(np.concatenate([scene, blank]))
    assert scores["dark_pixels"][1] > 0.9 > scores["dark_pixels"][0]
    assert scores["edge_density"][1] < scores["edge_density"][0]
    assert scores["colour_entropy"][1] < 1 < 8 < scores["colour_entropy"][0]
