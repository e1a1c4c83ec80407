"""A seed depends on what it is for and on nothing else."""

import hashlib

import numpy as np
import pytest

from workflow_scripts.lib.seeds import seed_of


def test_a_seed_is_the_first_63_bits_of_a_sha256():
    digest = hashlib.sha256(b'[0, "eval", "a frog on blue", 3]').digest()
    assert seed_of(0, "eval", "a frog on blue", 3) == int.from_bytes(digest[:8], "big") // 2


def test_seeds_fit_a_signed_64_bit_integer():
    seeds = [seed_of(i) for i in range(1000)]
    assert min(seeds) >= 0 and max(seeds) < 2**63 and max(seeds) > 2**62
    assert len(set(seeds)) == 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [((1,), ("1",)), (("ab", "c"), ("a", "bc")), ((0, "eval"), (1, "eval")), (("a", 1), (1, "a")), (("a",), ("a", ""))],
)
def test_other_parts_make_another_seed(one, other):
    assert seed_of(*one) != seed_of(*other)


def test_numpy_integers_count_as_integers():
    assert seed_of(np.int64(3), "x", np.int32(7)) == seed_of(3, "x", 7)


def test_what_is_neither_text_nor_number_is_refused():
    with pytest.raises(TypeError):
        seed_of(object())
