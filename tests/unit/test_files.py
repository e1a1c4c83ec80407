"""Files are whole or absent, whatever goes wrong while writing them."""

import errno
import os
import socket
import subprocess
import sys

import pandas as pd
import pytest

from workflow_scripts.import_images import main as import_images
from workflow_scripts.lib import files
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.tables import read_table, write_table


def test_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "made" / "a.txt"
    for text in ("first", "second"):
        with files.atomic_write(path) as temporary:
            assert temporary.parent == path.parent and temporary.suffix == ".txt" and temporary.name.startswith(".a.")
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_not_disturbed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    left = tmp_path / f".a.{host}.{dead.pid}.tmp.txt"
    living = tmp_path / f".a.{host}.{os.getppid()}.tmp.txt"
    other = tmp_path / f".b.{host}.{dead.pid}.tmp.txt"
    elsewhere = tmp_path / f".a.another-{host}.{dead.pid}.tmp.txt"
    for file in (left, living, other, elsewhere):
        file.write_text("x")
    with files.atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert not left.exists() and living.exists() and other.exists() and elsewhere.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_user_error_and_keeps_the_old_file(tmp_path, monkeypatch, number):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=rf"{tmp_path} has [\d,]+ bytes free"):
        files.write_json(path, {"new": 2})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_of_the_system_are_not_called_a_full_disk(tmp_path):
    with pytest.raises(PermissionError), files.atomic_write(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no")


def test_a_full_disk_is_recognised_behind_other_errors():
    wrapped = RuntimeError("unexpected position")
    wrapped.__context__ = OSError(errno.ENOSPC, "No space left on device")
    assert files.is_disk_full(wrapped)
    assert files.is_disk_full(ValueError("I/O error: No space left on device (os error 28)"))
    assert not files.is_disk_full(OSError(errno.EIO, "broken"))


def test_a_really_full_disk(tiny_disk):
    path = tiny_disk / "a"
    path.write_text("old")
    with pytest.raises(UserError, match="quota is full"), files.atomic_write(path) as temporary:
        temporary.write_bytes(bytes(1 << 20))
    assert path.read_text() == "old"
    assert os.listdir(tiny_disk) == ["a"]


def test_safetensors_on_a_full_disk(tiny_disk):
    numpy = pytest.importorskip("safetensors.numpy")
    import numpy as np

    with pytest.raises(UserError, match="quota is full"), files.atomic_write(tiny_disk / "a.safetensors") as temporary:
        numpy.save_file({"a": np.zeros(1 << 18)}, temporary)


def test_json_round_trip(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"b": [1, 2.5, None], "a": "größer"})
    assert files.read_json(path) == {"b": [1, 2.5, None], "a": "größer"}
    assert "größer" in path.read_text(encoding="utf-8") and path.read_text().endswith("}\n")


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_json_say_how_to_make_it(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=rf"{path} is missing; make it: snakemake '{path}'"):
        files.read_json(path)
    path.write_text('{"a": ')
    with pytest.raises(UserError, match=rf"{path} is damaged .*rm '{path}' && snakemake '{path}'"):
        files.read_json(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UserError, match="is damaged"):
        files.read_json(path)


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_tables_are_read_as_they_were_written_or_refused(tmp_path, name):
    path, table = tmp_path / "new" / name, pd.DataFrame({"name": ["NA", "None"], "value": [1.5, float("nan")]})
    write_table(path, table)
    pd.testing.assert_frame_equal(read_table(path), table)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=f"cannot read ({path}) .*rm -f '\\1' and run the same command"):
        read_table(path)
    path.unlink()
    with pytest.raises(UserError, match=f"cannot read {path}"):
        read_table(path)


def test_a_damaged_prompt_set_is_no_traceback(tmp_path):
    prompts = tmp_path / "prompts.parquet"
    prompts.write_text("no table")
    command = f"--dataset world_renderings --count 1 --prompts {prompts} --shape 32x32 --out {tmp_path / 'part0.json'}"
    with pytest.raises(UserError, match=f"cannot read {prompts}"):
        import_images(command.split())
