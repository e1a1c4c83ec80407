"""What is written to shards is what is read from them, and the same images make the same bytes."""

import hashlib
import os
import tarfile
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from shard_examples import FINGERPRINT, contents, image_of, record_of, write_example_part, write_shard

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.shards import Collection, ImageRecord, Part, ShardWriter, decode, encode, key_of, write_part
from workflow_scripts.lib.shards.layout import crc32, tar_header


@pytest.fixture
def part(tmp_path):
    return write_example_part(tmp_path)


# images


def test_encoding_is_lossless_and_takes_pil_and_arrays():
    array = image_of(0, 0)
    data = encode(array)
    assert data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8L"
    assert np.array_equal(decode(data), array) and decode(data).dtype == np.uint8
    assert encode(Image.fromarray(array)) == data


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        Image.new("L", (4, 4)),
    ],
)
def test_what_is_not_rgb_of_8_bit_is_refused(image):
    with pytest.raises(ValueError, match="an image must be"):
        encode(image)


def test_keys_sort_by_prompt_and_number():
    assert key_of(7, 3) == "000007-03"
    assert sorted([key_of(10, 0), key_of(9, 11), key_of(9, 2)]) == [key_of(9, 2), key_of(9, 11), key_of(10, 0)]


# what is written


def test_a_part_gives_back_what_was_written(part):
    opened = Part(part)
    assert (opened.count, opened.fingerprint, opened.about) == (6, FINGERPRINT, {"policy": "sd15", "round": 3})
    wanted = [(prompt_id, k) for prompt_id in range(3) for k in range(2)]
    for (row, image), (prompt_id, k) in zip(opened.images(), wanted, strict=True):
        assert np.array_equal(image, image_of(prompt_id, k))
        found = (row.key, row.prompt_id, row.k, row.prompt, row.seed)
        assert found == (key_of(prompt_id, k), prompt_id, k, f"prompt «{prompt_id}»", 2**62 + k)
        assert type(row.seed) is int and type(row.key) is str


def test_the_index_is_a_data_frame_over_all_shards(part):
    index = Part(part).index()
    assert list(index["key"]) == [key_of(prompt_id, k) for prompt_id in range(3) for k in range(2)]
    assert list(index["shard"]) == [0, 0, 0, 0, 1, 1] and list(index["row"]) == [0, 1, 2, 3, 0, 1]
    index["k"] = 99
    assert list(Part(part).index()["k"]) == [0, 1] * 3


def test_keys_choose_images_in_their_own_order(part):
    keys = [key_of(2, 1), key_of(0, 0), key_of(2, 0), key_of(0, 0)]
    chosen = list(Part(part).images(keys))
    assert [row.key for row, _ in chosen] == keys
    assert np.array_equal(chosen[0][1], image_of(2, 1)) and np.array_equal(chosen[1][1], image_of(0, 0))
    assert list(Part(part).images([])) == []


def test_a_key_that_is_not_there_is_named(part):
    with pytest.raises(UserError, match=rf"1 of 2 images, the first 000009-00, are not in {part}"):
        list(Part(part).images([key_of(0, 0), key_of(9, 0)]))


def test_a_collection_is_its_parts_in_order(part, tmp_path):
    write_part(tmp_path / "part1.json", [write_shard(tmp_path, "part1.0000", [7])], FINGERPRINT)
    collection = Collection([tmp_path / "part1.json", part])
    assert collection.count == 8
    assert [row.prompt_id for row, _ in collection.images()] == [7, 7, 0, 0, 1, 1, 2, 2]
    assert next(collection.images([key_of(2, 1)]))[0].shard == 2
    with pytest.raises(UserError, match="more than once"):
        Collection([part, part]).index()
    assert Collection([]).count == 0 and list(Collection([]).images()) == []


def test_the_tar_is_an_ordinary_one(part):
    with tarfile.open(part.parent / "part0.0000.tar") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == [f"{key_of(p, k)}.webp" for p in range(2) for k in range(2)]
        assert all(member.mtime == member.uid == 0 and member.mode == 0o644 and member.isfile() for member in members)
        assert np.array_equal(decode(archive.extractfile(members[3]).read()), image_of(1, 1))


@pytest.mark.parametrize("size", [0, 1, 511, 300_000, 8**11 - 1])
def test_headers_are_those_of_tarfile(size):
    info = tarfile.TarInfo("000123-04.webp")
    info.size = size
    assert tar_header(info.name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_the_same_images_make_the_same_bytes(tmp_path):
    def latents(prompt_id, k):
        return np.full((4, 2, 3), prompt_id + k, np.float32)

    one, other = (write_shard(tmp_path / name, "s", [0, 1], latents) for name in ("one", "other"))
    assert one == other
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_an_entry_describes_its_shard(tmp_path):
    entry = write_shard(tmp_path, "s", [0])
    assert entry == {
        "name": "s",
        "images": 2,
        "bytes": (tmp_path / "s.tar").stat().st_size,
        "latents_bytes": 0,
        "fingerprint": FINGERPRINT,
        "sha256": hashlib.sha256((tmp_path / "s.parquet").read_bytes()).hexdigest(),
    }
    assert sorted(contents(tmp_path)) == ["s.parquet", "s.tar"]


def test_compressed_images_can_be_passed_on(part, tmp_path):
    best = [key_of(2, 0), key_of(0, 1)]
    with ShardWriter(tmp_path / "best", "s", FINGERPRINT) as writer:
        for row, data in Part(part).encoded(best):
            writer.add_encoded(ImageRecord(row.key, None, row.prompt_id, row.k, row.prompt, row.seed), data)
        write_part(tmp_path / "best" / "part0.json", [writer.commit()], FINGERPRINT)
    copied = [(row.key, image) for row, image in Part(tmp_path / "best" / "part0.json").images()]
    assert [key for key, _ in copied] == best
    assert np.array_equal(copied[1][1], image_of(0, 1))


def test_mistakes_of_the_caller_are_refused(tmp_path):
    with ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        writer.add(record_of(0, 0))
        with pytest.raises(ValueError, match="already in shard"):
            writer.add(record_of(0, 0))
        with pytest.raises(ValueError, match="either all images have latents or none"):
            writer.add(record_of(0, 1), np.zeros((4, 2, 2)))
        with pytest.raises(ValueError, match="cannot name"):
            writer.add(ImageRecord("../../x", image_of(0, 0), 0, 0, "", 0))
    with pytest.raises(ValueError, match="cannot name"):
        ShardWriter(tmp_path, "../s", FINGERPRINT)


def test_an_uncommitted_shard_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        writer.add(record_of(0, 0))
        raise KeyError
    with ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        writer.add(record_of(0, 0))
    assert contents(tmp_path) == {}


# latents


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 2, 3), "float32"), ((4, 2, 3), "float16"), ((2, 2, 2), "bfloat16"), ((3, 5, 2, 2), "float32")],
)
def test_latents_round_trip(tmp_path, shape, dtype):
    import torch

    def made(prompt_id, k):
        return torch.full(shape, 10 * prompt_id + k + 0.1, dtype=getattr(torch, dtype))

    shards = [write_shard(tmp_path, "a", [0, 1], made), write_shard(tmp_path, "b", [2], made)]
    write_part(tmp_path / "part0.json", shards, FINGERPRINT)
    opened = Part(tmp_path / "part0.json")
    everything = torch.stack([made(prompt_id, k) for prompt_id in range(3) for k in range(2)])
    assert torch.equal(opened.latents(), everything) and opened.latents().dtype == everything.dtype
    assert torch.equal(opened.latents([key_of(2, 1), key_of(0, 0)]), everything[[5, 0]])
    assert opened.latents([]).shape[0] == 0


def test_latents_are_copied_when_added(tmp_path):
    import torch

    buffer = torch.zeros(4, 2, 2)
    with ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        for k in range(3):
            writer.add(record_of(0, k), buffer.fill_(k))
        write_part(tmp_path / "part0.json", [writer.commit()], FINGERPRINT)
    assert Part(tmp_path / "part0.json").latents()[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_latents_of_other_shape_are_refused(tmp_path):
    with ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        writer.add(record_of(0, 0), np.zeros((4, 2, 2), np.float32))
        with pytest.raises(ValueError, match="one type and one shape"):
            writer.add(record_of(0, 1), np.zeros((4, 2, 3), np.float32))
        with pytest.raises(ValueError, match="one type and one shape"):
            writer.add(record_of(0, 1), np.zeros((4, 2, 2), np.float64))
        writer.add(record_of(0, 1), np.ones((4, 2, 2), np.float32))
        assert writer.commit()["images"] == 2


def test_a_part_without_latents_says_so(part):
    with pytest.raises(UserError, match="keeps no latents"):
        Part(part).latents()


def test_the_memory_of_a_writer_does_not_grow_with_its_images(tmp_path):
    def peak(images):
        data = os.urandom(20_000)
        tracemalloc.start()
        with ShardWriter(tmp_path, f"s{images}", FINGERPRINT) as writer:
            for k in range(images):
                writer.add_encoded(ImageRecord(key_of(k, 0), None, k, 0, "prompt", k), bytes(data))
            most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(1000) - peak(100) < 900 * 1500  # the index: less than 1.5 kB an image, of 20 kB


def test_checksums_are_those_of_zlib():
    assert crc32(b"abc" * 1000) == zlib.crc32(b"abc" * 1000)
