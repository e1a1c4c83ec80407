"""A seed depends on what it is for and on nothing else."""

import hashlib

import numpy as np
import pytest

from workflow_scripts.lib.seeds import seed_of, seeds_of_images


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


def test_the_seed_of_an_image_does_not_depend_on_its_batch():
    prompts, ks = ["a", "a", "b"], [0, 1, 0]
    together = seeds_of_images(5, "train", prompts, ks)
    assert together == [seeds_of_images(5, "train", [prompt], [k])[0] for prompt, k in zip(prompts, ks, strict=True)]
    assert together == [seed_of(5, "train", "a", 0), seed_of(5, "train", "a", 1), seed_of(5, "train", "b", 0)]
    assert len(set(together)) == 3


def test_a_forgotten_k_is_an_error():
    with pytest.raises(ValueError, match="shorter"):
        seeds_of_images(0, "train", ["a", "b"], [0])
