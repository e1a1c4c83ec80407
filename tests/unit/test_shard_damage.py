"""Shards are whole or absent; damage is found and named, and only what was lost is made again."""

import errno
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from shard_examples import FINGERPRINT, contents, record_of, write_example_part, write_shard

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.shards import Part, ShardWriter, committed, key_of, write_part
from workflow_scripts.lib.shards.direct import CHUNK, DirectWriter


@pytest.fixture
def part(tmp_path):
    return write_example_part(tmp_path)


# committed, or made anew


def test_a_whole_shard_is_not_made_again(tmp_path):
    entry = write_shard(tmp_path, "s", [0], lambda prompt_id, k: np.zeros((4, 2, 2), np.float32))
    assert committed(tmp_path, "s", FINGERPRINT) == entry
    assert committed(tmp_path, "s", "another") is None
    assert committed(tmp_path, "t", FINGERPRINT) is None


@pytest.mark.parametrize("suffix", [".tar", ".parquet", ".latents.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "missing"])
def test_a_shard_that_is_not_whole_counts_as_absent(tmp_path, suffix, damage):
    write_shard(tmp_path, "s", [0], lambda prompt_id, k: np.zeros((4, 2, 2), np.float32))
    file = tmp_path / f"s{suffix}"
    os.truncate(file, {"truncated": file.stat().st_size - 1}.get(damage, 0))
    if damage == "missing":
        file.unlink()
    assert committed(tmp_path, "s", FINGERPRINT) is None


def test_a_shard_of_another_fingerprint_is_replaced(tmp_path):
    write_shard(tmp_path, "s", [0, 1], lambda prompt_id, k: np.zeros((4, 2, 2), np.float32))
    with ShardWriter(tmp_path, "s", "new") as writer:
        writer.add(record_of(5, 0))
        entry = writer.commit()
    assert entry["images"] == 1 and committed(tmp_path, "s", "new") == entry
    assert sorted(contents(tmp_path)) == ["s.parquet", "s.tar"]


def test_a_commit_that_fails_leaves_no_shard_of_either_kind(tmp_path, monkeypatch):
    write_shard(tmp_path, "s", [0])
    with ShardWriter(tmp_path, "s", "new") as writer:
        writer.add(record_of(5, 0))
        real, calls = os.fsync, []

        def full_at_the_index(descriptor):
            calls.append(descriptor)
            if len(calls) == 3:  # tar, its folder, then the index
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", full_at_the_index)
        with pytest.raises(UserError, match="quota is full"):
            writer.commit()
    assert committed(tmp_path, "s", FINGERPRINT) is None and committed(tmp_path, "s", "new") is None
    monkeypatch.setattr(os, "fsync", real)
    assert write_shard(tmp_path, "s", [0]) == committed(tmp_path, "s", FINGERPRINT)


WRITER = """
import sys, pathlib, time
sys.path.insert(0, {tests!r})
from workflow_scripts.lib.shards import ShardWriter, committed
from shard_examples import FINGERPRINT, record_of
folder, stop = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for number in range(2):
    name = f"part0.{{number:04d}}"
    if committed(folder, name, FINGERPRINT):
        print("kept", name, flush=True)
        continue
    with ShardWriter(folder, name, FINGERPRINT) as writer:
        for k in range(20):
            if number == 1 and k == stop:
                print("between images", flush=True)
                time.sleep(60)
            writer.add(record_of(number, k))
        writer.commit()
"""


def test_kill_9_between_two_images_costs_one_shard(tmp_path):
    command = [sys.executable, "-c", WRITER.format(tests=os.path.dirname(__file__)), str(tmp_path / "killed")]
    killed = subprocess.Popen([*command, "10"], stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "between images\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert len(contents(tmp_path / "killed")) == 3  # a whole shard, and the temporary file of the other
    assert committed(tmp_path / "killed", "part0.0000", FINGERPRINT)
    assert committed(tmp_path / "killed", "part0.0001", FINGERPRINT) is None

    write_shard(tmp_path / "killed", "part0.0001", [1], ks=20)
    for number in range(2):
        write_shard(tmp_path / "unbroken", f"part0.{number:04d}", [number], ks=20)
    assert contents(tmp_path / "killed") == contents(tmp_path / "unbroken")


# damage


def flip(file, position):
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)


def test_a_flipped_bit_in_an_image_is_found_and_named(part):
    tar = part.parent / "part0.0001.tar"
    offset = Part(part).index().query("key == '000002-01'")["offset"].item()
    flip(tar, offset + 40)
    reading = Part(part).images()
    assert len([next(reading) for _ in range(5)]) == 5
    cure = re.escape(f"{tar} is damaged at image 000002-01; delete it and run the same command again, only this shard")
    with pytest.raises(UserError, match=f"{cure}.*rm -f '{tar}' '{part}'"):
        next(reading)


def test_the_cure_works(part):
    before = contents(part.parent)
    tar = part.parent / "part0.0001.tar"
    tar.unlink(), part.unlink()
    assert (
        committed(part.parent, "part0.0000", FINGERPRINT) and committed(part.parent, "part0.0001", FINGERPRINT) is None
    )
    shards = [committed(part.parent, "part0.0000", FINGERPRINT), write_shard(part.parent, "part0.0001", [2])]
    write_part(part, shards, FINGERPRINT, policy="sd15", round=3)
    assert contents(part.parent) == before


def test_a_truncated_tar_is_found_on_opening(part):
    tar = part.parent / "part0.0000.tar"
    os.truncate(tar, tar.stat().st_size - 100)
    with pytest.raises(UserError, match=rf"{tar} has [\d,]+ bytes instead of [\d,]+; delete it"):
        Part(part)


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_missing_file_is_found_on_opening(part, suffix):
    file = part.parent / f"part0.0001{suffix}"
    file.unlink()
    with pytest.raises(UserError, match=f"{file} is missing; delete it and run"):
        Part(part)


def test_an_index_that_was_changed_is_not_believed(part):
    file = part.parent / "part0.0000.parquet"
    flip(file, 60)
    with pytest.raises(UserError, match=f"{file} is not the index that part0.json lists"):
        Part(part).index()


def test_damaged_latents_are_found(tmp_path):
    def made(prompt_id, k):
        return np.full((4, 2, 2), k, np.float32)

    write_part(tmp_path / "part0.json", [write_shard(tmp_path, "s", [0], made)], FINGERPRINT)
    file = tmp_path / "s.latents.safetensors"
    flip(file, -1)
    opened = Part(tmp_path / "part0.json")
    assert opened.latents([key_of(0, 0)]).shape == (1, 4, 2, 2)
    with pytest.raises(UserError, match=f"{file} is damaged at image 000000-01"):
        opened.latents()
    flip(file, 0)
    with pytest.raises(UserError, match=f"{file} cannot be read"):
        opened.latents()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/b", "..", "", 7, None])
def test_a_part_cannot_point_out_of_its_folder(part, name):
    content = json.loads(part.read_text())
    content["shards"][0]["name"] = name
    part.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{part} does not list the shards of a part"):
        Part(part)


@pytest.mark.parametrize("change", [{"images": 7}, {"shards": [{}]}, {"shards": None}, {"shards": ["x"]}])
def test_a_part_that_contradicts_itself_is_refused(part, change):
    part.write_text(json.dumps({**json.loads(part.read_text()), **change}))
    with pytest.raises(UserError, match="does not list the shards of a part"):
        Part(part)
    part.write_text("[]")
    with pytest.raises(UserError, match="does not list the shards of a part"):
        Part(part)


# the file underneath


@pytest.mark.parametrize("direct", [True, False])
def test_bytes_arrive_in_order_past_the_cache_or_through_it(tmp_path, monkeypatch, direct):
    if not direct:
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
    pieces = [os.urandom(size) for size in (0, 1, 511, CHUNK - 600, 100, 3 * CHUNK + 17, CHUNK, 5)]
    writer = DirectWriter(tmp_path / "a")
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    written = (tmp_path / "a").read_bytes()
    whole = b"".join(pieces)
    assert written[: len(whole)] == whole
    assert len(written) == writer.size == -(-len(whole) // 4096) * 4096 and not any(written[len(whole) :])


def test_a_file_system_that_refuses_direct_writing_is_written_ordinarily(tmp_path, monkeypatch):
    writer, real, refused = DirectWriter(tmp_path / "a"), os.write, []

    def refuse_once(descriptor, data):
        if not refused:
            refused.append(True)
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(descriptor, data[:3000])  # and takes less than it was given

    monkeypatch.setattr(os, "write", refuse_once)
    writer.write(b"x" * 5000)
    if not hasattr(os, "O_DIRECT"):
        pytest.skip("this system writes ordinarily anyway")
    writer.finish()
    assert refused and (tmp_path / "a").read_bytes() == b"x" * 5000 + bytes(2 * 4096 - 5000)
