"""Archives, images, videos and annotations that mean harm: nothing is written or run, one line says what is wrong."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from shard_examples import FINGERPRINT, record_of

from workflow_scripts.lib.data import archives, prompts, videos
from workflow_scripts.lib.data.archives import image_files
from workflow_scripts.lib.data.images import open_image, read_dataset
from workflow_scripts.lib.data.prompts import draw_prompts, read_lines
from workflow_scripts.lib.data.videos import read_clip, videos_of, write_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.shards import Part, ShardWriter, write_part


def png(level=9, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(buffer, "png")
    return buffer.getvalue()


def tar_of(path, *members, mode="w:gz"):
    """A tar of (name, type, what) members; `what` is the contents of a file, else the target of a link."""
    with tarfile.open(path, mode) as archive:
        for name, kind, what in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(what)
                archive.addfile(member, io.BytesIO(what))
            else:
                member.linkname = what
                archive.addfile(member)
    return path


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# archives


def test_only_plain_files_of_a_tar_are_read_and_nothing_is_unpacked(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(200))
    secret = str(tmp_path / "secret.png")
    members = [
        (f"{tmp_path}/absolute.png", tarfile.REGTYPE, png(1)),
        ("../outside.png", tarfile.REGTYPE, png(2)),
        ("link.png", tarfile.SYMTYPE, secret),
        ("hard.png", tarfile.LNKTYPE, secret),
        ("device.png", tarfile.CHRTYPE, ""),
        ("pipe.png", tarfile.FIFOTYPE, ""),
        ("folder.png", tarfile.DIRTYPE, ""),
    ]
    (tmp_path / "data").mkdir()
    tar_of(tmp_path / "data/a.tgz", *members)
    before = below(tmp_path)
    source = {"kind": "archives", "folder": "data", "files": ["a.tgz"]}
    found = list(read_dataset(source, 2, (8, 8), 0, tmp_path))
    assert [item.image.mean() for item in found] == [1, 2]
    with pytest.raises(UserError, match="holds 2 images, 3 are asked for"):
        list(read_dataset(source, 3, (8, 8), 0, tmp_path))
    assert below(tmp_path) == before


def test_names_of_a_zip_lead_nowhere(tmp_path):
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data/a.zip", "w") as archive:
        for name in ("../outside.png", f"{tmp_path}/absolute.png"):
            archive.writestr(name, png())
    before = below(tmp_path)
    source = {"kind": "archives", "folder": "data", "files": ["a.zip"]}
    assert len(list(read_dataset(source, 2, (8, 8), 0, tmp_path))) == 2
    assert below(tmp_path) == before


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_a_file_that_unpacks_to_more_than_an_image_can_have_is_not_read(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(archives, "LARGEST_IMAGE", 10_000)
    path, bomb = tmp_path / f"a.{suffix}", bytes(10_001)
    if suffix == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("small.png", bytes(10_000))
            archive.writestr("bomb.png", bomb)
    else:
        tar_of(path, ("small.png", tarfile.REGTYPE, bytes(10_000)), ("bomb.png", tarfile.REGTYPE, bomb))
    reading = image_files(path)
    assert len(next(reading)[1]()) == 10_000
    with pytest.raises(UserError, match=r"bomb.png in .* has 10,001 bytes, at most 10,000 make sense"):
        next(reading)[1]()


def test_a_tar_that_declares_a_gigabyte_of_name_is_refused_before_it_is_read(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        header = tarfile.TarInfo("x")
        header.type, header.size = kind, 1 << 30
        path = tmp_path / "a.tgz"
        path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
        with pytest.raises(UserError, match="has a header of 1,073,741,824 bytes"):
            list(image_files(path))


def test_a_tar_of_endless_files_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 3)
    tar_of(tmp_path / "a.tgz", *((f"{i}.png", tarfile.REGTYPE, b"") for i in range(4)))
    with pytest.raises(UserError, match="holds more than 3 files"):
        list(image_files(tmp_path / "a.tgz"))


def test_damage_within_a_file_of_an_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png())
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    reading = image_files(tmp_path / "a.zip")
    with pytest.raises(UserError, match=r"a.zip cannot be read \(Bad CRC-32"):
        next(reading)[1]()


def test_a_table_whose_column_holds_no_images_is_refused(tmp_path):
    pd.DataFrame({"image": ["a.png"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="images in column 'image' of .* have no names to choose by"):
        list(image_files(tmp_path / "a.parquet"))


# images


def bomb(width, height):
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded():
    with pytest.raises(UserError, match=r"x.png cannot be read as an image .*decompression bomb"):
        open_image(bomb(100_000, 100_000), (8, 8), "x.png")


@pytest.mark.parametrize("kind", ["eps", "gif", "ppm", "ico"])
def test_formats_that_no_data_set_needs_are_not_decoded_whatever_the_name_says(kind):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind)
    with pytest.raises(UserError, match="frog.png cannot be read as an image"):
        open_image(buffer.getvalue(), (8, 8), "frog.png")


@pytest.mark.parametrize("data", [png(), b"no picture"], ids=["another format", "nothing"])
def test_a_shard_that_holds_another_format_is_refused(tmp_path, data):
    with ShardWriter(tmp_path, "s", FINGERPRINT) as writer:
        writer.add_encoded(record_of(0, 0), data)
        write_part(tmp_path / "part0.json", [writer.commit()], FINGERPRINT)
    with pytest.raises(UserError, match=r"s.tar holds no image as 000000-00; delete it"):
        list(Part(tmp_path / "part0.json").images())


# videos


@pytest.fixture
def clip(tmp_path):
    write_clip(tmp_path / "a.mp4", np.zeros((8, 64, 64, 3), np.uint8), 8)
    return tmp_path / "a.mp4"


def test_a_video_cannot_name_other_files_to_be_read(tmp_path, clip):
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    with (tmp_path / "list.mp4").open("rb") as file, pytest.raises(UserError, match="cannot be read as a video"):
        read_clip(file, 2, (8, 8), None, "list.mp4")


def test_a_video_of_absurd_size_is_refused(clip, monkeypatch):
    with clip.open("rb") as file:
        assert read_clip(file, 2, (8, 8), None, "a.mp4").shape == (2, 8, 8, 3)
        monkeypatch.setattr(videos, "LARGEST_FRAME", 64 * 64 - 1)
        with pytest.raises(UserError, match="a.mp4 cannot be read as a video"):
            read_clip(file, 2, (8, 8), None, "a.mp4")


def test_videos_of_a_zip_come_by_name_and_not_beyond_a_size(tmp_path, clip, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("../b.mp4", "../a.mp4", "readme.txt"):
            archive.write(clip, name)
    source = {"hub": ".", "files": ["a.zip"]}
    found = [(name, read_clip(file, 2, (8, 8), None, name).shape) for name, file in videos_of(source, tmp_path)]
    assert found == [(f"{tmp_path}/a.zip:../{name}.mp4", (2, 8, 8, 3)) for name in "ab"]
    monkeypatch.setattr(videos, "LARGEST_VIDEO", 100)
    with pytest.raises(UserError, match="at most 100 make sense"):
        list(videos_of(source, tmp_path))


# prompts


def drawn(tmp_path, name, text, count=1):
    (tmp_path / name).write_bytes(text)
    kind = "prompts_table" if name.endswith((".csv", ".json")) else "prompts_hub"
    source = {"kind": kind, "hub": ".", "annotations": {"eval": name}, "prompt_field": "prompt"}
    return list(draw_prompts(source, "eval", count, 0, tmp_path)["prompt"])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", b'{"prompt": "a"}\n{"prompt": ', "line 2 of .* is no JSON with a text for prompt"),
        ("a.jsonl", b'{"caption": "a"}', "line 1 of .* is no JSON with a text for prompt"),
        ("a.jsonl", b'{"prompt": ["a"]}', "line 1 of .* is no JSON with a text for prompt"),
        ("a.jsonl", b"[" * 100_000, "line 1 of .* is no JSON with a text for prompt"),
        ("a.jsonl", b'{"prompt": "\xff"}', "a.jsonl cannot be read .*utf-8"),
        ("a.csv", b"prompt\n\xff\n", "a.csv cannot be read .*utf-8"),
        ("a.csv", b'prompt\n"a', "a.csv cannot be read"),
        ("a.json", b"[" * 100_000, "a.json is damaged"),
    ],
)
def test_annotations_that_are_none_are_named(tmp_path, name, text, says):
    with pytest.raises(UserError, match=says):
        drawn(tmp_path, name, text)


def test_half_a_character_is_no_prompt_and_null_is_none(tmp_path):
    lines = [{"prompt": "a frog \ud83d"}, {"prompt": None}, {"prompt": "a \U0001f438"}]
    assert drawn(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)).encode()) == ["a \U0001f438"]


@pytest.mark.parametrize("name", ["a.txt", "a.tgz"])
def test_a_line_without_end_is_left(tmp_path, monkeypatch, name):
    monkeypatch.setattr(prompts, "LONGEST_LINE", 10)
    if name == "a.txt":
        (tmp_path / name).write_bytes(b"a frog\n" + b"x" * 11)
    else:
        tar_of(tmp_path / name, ("lines", tarfile.REGTYPE, b"a frog\n" + b"x" * 11))
    lines = read_lines(tmp_path / name)
    assert next(lines) == "a frog\n"
    with pytest.raises(UserError, match="a line of more than 10 bytes, which is no prompt"):
        next(lines)


def test_a_prompt_of_vbench_cannot_name_a_file_elsewhere(tmp_path):
    from workflow_scripts.lib.metrics.vbench_package import read_suite

    path = Path(tmp_path / "VBench_full_info.json")
    path.write_text(json.dumps([{"prompt_en": "../../outside", "dimension": ["scene"]}]))
    with pytest.raises(UserError, match="has prompt '../../outside', which cannot name a clip"):
        read_suite(path)
