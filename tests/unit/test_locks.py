"""One writer at a time, known by name; locks end with their process; heads take over what a killed one left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow_scripts.lib import locks
from workflow_scripts.lib.head_processes import enter
from workflow_scripts.lib.locks import described, hold, owners, sole_writer

WRITER = """
import sys, time
from pathlib import Path
from workflow_scripts.lib.locks import sole_writer
out, seconds = Path(sys.argv[1]), float(sys.argv[2])
with sole_writer(out):
    Path(sys.argv[3]).touch()
    time.sleep(seconds)
    out.write_text(out.read_text() + "x" if out.exists() else "x")
"""
HEAD = """
import sys, time
from pathlib import Path
from workflow_scripts.lib.head_processes import enter
own = enter(Path(sys.argv[1]))
Path(sys.argv[2]).touch()
time.sleep(60)
"""


def start(program: str, *words: object) -> subprocess.Popen:
    """Start a program; its last argument is the file that it makes when it is ready."""
    command = [sys.executable, "-c", program, *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path(words[-1]).exists():
        assert time.monotonic() < deadline and process.poll() is None, "it did not get ready"
        time.sleep(0.01)
    return process


def test_a_second_writer_waits_and_says_for_whom(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.05)
    out = tmp_path / "part0.json"
    first = start(WRITER, out, 1.0, tmp_path / "ready")
    with sole_writer(out):
        assert out.read_text() == "x", "the first has ended"
    said = capfd.readouterr().err
    assert f"{out} is being written by process {first.pid} on {socket.gethostname()}" in said
    assert said.count("waiting") == 1
    assert first.wait() == 0
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".lock"] == []


def test_a_killed_writer_holds_nothing(tmp_path):
    out = tmp_path / "policy.json"
    first = start(WRITER, out, 60, tmp_path / "ready")
    first.send_signal(signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    with sole_writer(out):
        assert time.monotonic() - began < 0.5


def test_other_results_and_other_ranks_do_not_wait(tmp_path, monkeypatch):
    first = start(WRITER, tmp_path / "part0.json", 60, tmp_path / "ready")
    with sole_writer(tmp_path / "part1.json"):
        pass
    monkeypatch.setenv("RANK", "1")
    with sole_writer(tmp_path / "part0.json"):
        pass
    assert first.poll() is None
    first.kill()
    first.wait()


def test_other_processes_of_a_training_wait_until_its_first_has_the_lock(tmp_path, monkeypatch):
    out, ready = tmp_path / "policy.json", tmp_path / "second"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "killed head's")
    before = start(WRITER, out, 60, tmp_path / "ready")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "next head's")
    second = subprocess.Popen([sys.executable, "-c", WRITER, out, "0", ready], env={**os.environ, "RANK": "1"})
    time.sleep(1)
    assert not ready.exists() and second.poll() is None
    before.kill()
    before.wait()
    first = start(WRITER, out, 5, tmp_path / "first")
    assert second.wait(timeout=30) == 0 and first.poll() is None
    first.kill()
    first.wait()


def test_three_writers_never_overlap(tmp_path):
    out = tmp_path / "part0.json"
    first = start(WRITER, out, 0.3, tmp_path / "ready")
    others = [subprocess.Popen([sys.executable, "-c", WRITER, out, "0.3", tmp_path / "on"]) for _ in range(2)]
    assert [process.wait() for process in (first, *others)] == [0, 0, 0]
    assert out.read_text() == "xxx"


@pytest.fixture
def no_locks(monkeypatch) -> None:
    """A file system without `flock`."""

    def refuse(*_):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, no_locks, caplog):
    with sole_writer(tmp_path / "part0.json"):
        pass
    assert "no locks" in caplog.text


def test_an_owner_has_a_name_and_an_age(tmp_path):
    file = hold(tmp_path / "one.lock")
    (owner,) = owners_from_elsewhere(tmp_path)
    owner = {**owner, "since": time.time() - 3725, "slurm_job": "12"}
    assert described(owner).startswith(f"process {os.getpid()} on {socket.gethostname()} (SLURM job 12), for 1:02:0")
    file.close()
    assert owners(tmp_path)[0] == []
    assert list(tmp_path.iterdir()) == []


def owners_from_elsewhere(folder: Path) -> list[dict]:
    program = "import json, sys; from pathlib import Path; from workflow_scripts.lib.locks import owners; "
    program += "print(json.dumps(owners(Path(sys.argv[1]))[0]))"
    done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True)
    return locks.json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path) -> Path:
    """`.snakemake` with the locks that Snakemake leaves."""
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("a\n")
    return tmp_path / ".snakemake"


def test_the_locks_of_a_killed_head_are_taken_over(folder, capfd):
    head = start(HEAD, folder, folder / "ready")
    (folder / "locks/0.output.lock").write_text("b\n")
    head.kill()
    head.wait()
    own = enter(folder)
    assert list((folder / "locks").iterdir()) == []
    assert "was killed" in capfd.readouterr().err
    own.close()


def test_those_of_a_living_head_stay_and_it_is_named(folder, capfd):
    head = start(HEAD, folder, folder / "ready")
    (folder / "locks/0.output.lock").write_text("b\n")
    own = enter(folder)
    assert len(list((folder / "locks").iterdir())) == 1
    assert f"Also running here: process {head.pid} on" in capfd.readouterr().err
    head.kill()
    head.wait()
    own.close()


def test_a_head_of_another_host_is_not_taken_for_dead(folder, capfd):
    """Its lock may be unknown here: file systems such as BeeGFS keep locks to a host unless told otherwise."""
    (folder / "heads").mkdir()
    elsewhere = folder / "heads/login1-4711.lock"
    elsewhere.write_text(locks.json.dumps({"host": "login1", "pid": 4711, "since": time.time()}))
    enter(folder).close()
    assert elsewhere.exists() and len(list((folder / "locks").iterdir())) == 1
    assert "Also running here: process 4711 on login1" in (said := capfd.readouterr().err)
    assert f"If it was killed: rm {elsewhere} && snakemake --unlock" in said


def test_locks_that_no_killed_head_of_ours_can_have_made_stay(folder, capfd):
    """Another workflow may run in the folder; one of ours that ended takes its registration with it."""
    program = "import sys; from pathlib import Path; from workflow_scripts.lib.head_processes import enter; "
    program += "own = enter(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)
    assert list((folder / "heads").iterdir()) == []
    enter(folder).close()
    assert (folder / "locks/0.output.lock").exists(), "nobody was killed"
    os.utime(folder / "locks/0.output.lock", (1, 1))
    head = start(HEAD, folder, folder / "ready")
    head.kill()
    head.wait()
    enter(folder).close()
    assert (folder / "locks/0.output.lock").exists(), "it is older than the head that was killed"
    assert "was killed" not in capfd.readouterr().err


def test_where_no_locks_say_who_lives_those_of_snakemake_stay(folder, no_locks):
    (folder / "heads").mkdir()
    (folder / "heads/login1-4711.lock").write_text("{}")
    assert enter(folder) is None
    assert (folder / "locks/0.output.lock").exists() and (folder / "heads/login1-4711.lock").exists()


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path):
    (tmp_path / "file").touch()
    assert enter(tmp_path / "file") is None
