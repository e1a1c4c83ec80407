"""Rank labels and the pseudo-labelled sets of GAN-RM's bootstrapping."""

import math

import pytest
import torch

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.pseudo_labels import bootstrap_set, rank_labels


def test_default_labels_fall_from_one_to_just_above_a_half():
    labels = rank_labels(4)
    assert labels.tolist() == pytest.approx([1, 2**-0.25, 2**-0.5, 2**-0.75])
    assert rank_labels(500).min() > 0.5


def test_alpha_is_the_decay_per_rank():
    assert rank_labels(3, alpha=0.5).tolist() == pytest.approx([1, math.exp(-0.5), math.exp(-1)])
    assert rank_labels(3, alpha=0).tolist() == [1, 1, 1]


def test_top_images_get_rank_labels_and_bottom_images_zero():
    rewards = torch.tensor([0.2, 0.9, -1.0, 0.5, 0.7])
    indices, labels = bootstrap_set(rewards, 2, 1)
    assert indices.tolist() == [1, 4, 2]
    assert labels.tolist() == pytest.approx([1, 2**-0.5, 0])


def test_equal_rewards_keep_the_order_of_the_pool():
    indices, _ = bootstrap_set(torch.zeros(6), 2, 2)
    assert indices.tolist() == [0, 1, 4, 5]


def test_no_bottom_set():
    indices, labels = bootstrap_set(torch.tensor([1.0, 2.0]), 2, 0)
    assert (indices.tolist(), len(labels)) == ([1, 0], 2)


def test_no_top_set():
    indices, labels = bootstrap_set(torch.tensor([1.0, 2.0, 0.0]), 0, 2)
    assert (indices.tolist(), labels.tolist()) == ([0, 2], [0, 0])


def test_a_small_pool_is_refused_with_the_numbers():
    with pytest.raises(UserError, match="top 3 and the bottom 3.*only 5"):
        bootstrap_set(torch.zeros(5), 3, 3)
