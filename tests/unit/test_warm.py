"""The warm start: a job forked from the warm process is the job, with its output, its exit status and its end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workflow_scripts.lib import warm

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import sys, time
from workflow_scripts.lib.cli import run
from workflow_scripts.lib.errors import UserError
def main():
    print("hello", *sys.argv[1:], flush=True)
    if "refuse" in sys.argv: raise UserError("not so; do this")
    if "wait" in sys.argv: open("started", "w").write("x"); time.sleep(60)
if __name__ == "__main__": run(main, warm=True)
"""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A warm process without libraries, owned by a sleeping process, and a folder with a job module."""
    owner = subprocess.Popen(["sleep", "600"])
    monkeypatch.setattr(warm, "LIBRARIES", ())
    path = warm._socket_path(str(owner.pid))
    server = os.fork()
    if server == 0:
        warm.serve(path, owner.pid)
        os._exit(0)
    while not path.exists():
        time.sleep(0.01)
    (tmp_path / "job.py").write_text(JOB)
    environment = os.environ | {warm.VARIABLE: str(owner.pid), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    yield tmp_path, environment, owner, server, path
    owner.kill()
    owner.wait()


def job(served, *arguments, **options):
    folder, environment, *_ = served
    command = [sys.executable, "-m", "job", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, **options)


def test_output_arguments_and_exit_status_come_back(served):
    done = job(served, "a b", "$(c)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello a b $(c)\n", "")
    refused = job(served, "refuse")
    assert (refused.returncode, refused.stderr) == (2, "error: not so; do this\n")


def test_the_job_is_a_grandchild_of_the_warm_process(served):
    folder, _, _, server, _ = served
    grandparent = "open(f\"/proc/{__import__('os').getppid()}/stat\").read().split()[3]"
    (folder / "job.py").write_text(JOB.replace('"hello"', grandparent))
    assert int(job(served).stdout) == server


def test_an_edit_is_seen_by_the_next_job(served):
    folder, *_ = served
    assert job(served).stdout == "hello\n"
    (folder / "job.py").write_text(JOB.replace("hello", "changed"))
    assert job(served).stdout == "changed\n"


def test_killing_the_command_kills_the_job(served):
    folder, environment, *_ = served
    command = subprocess.Popen(
        [sys.executable, "-m", "job", "wait"], cwd=folder, env=environment, stdout=subprocess.PIPE
    )
    wait_for(lambda: (folder / "started").exists())
    running = [pid for pid in processes() if command_folder(pid) == str(folder)]
    command.kill()
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() and state(pid) != "Z" for pid in running if pid != command.pid)
    )
    assert len(running) >= 2


def test_the_warm_process_ends_with_its_owner_and_jobs_then_run_where_they_are(served):
    _, environment, owner, server, path = served
    owner.kill()
    owner.wait()
    assert os.waitpid(server, 0)[1] == 0
    assert not path.exists()
    environment.pop(warm.VARIABLE)
    assert job(served).stdout == "hello\n"


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def command_folder(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    except OSError:
        return "Z"


def test_nothing_is_handed_over_on_a_cluster(monkeypatch):
    monkeypatch.setenv(warm.VARIABLE, "1")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert warm.run_warm("anything") is None


def test_the_socket_lies_in_a_folder_of_this_user_alone(served):
    folder = served[4].parent
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (os.getuid(), 0o700)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_cannot_hand_a_job_over(served):
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            warm._connect(served[4])
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _readable_by_all(folder):
    folder.mkdir()
    folder.chmod(0o755)


def _of_another_user(folder):
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)


def _a_link(folder):
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize("prepare", [_readable_by_all, _of_another_user, _a_link, Path.touch])
def test_nothing_is_handed_over_through_a_folder_that_somebody_else_may_have_made(tmp_path, monkeypatch, prepare):
    if prepare is _of_another_user and os.getuid():
        pytest.skip("only root can give a folder away")
    monkeypatch.setattr(warm.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv(warm.VARIABLE, "1")
    prepare(tmp_path / f"workflow-warm-{os.getuid()}")
    monkeypatch.setattr(warm.subprocess, "Popen", lambda *_, **__: pytest.fail("a warm process was started"))
    assert warm.run_warm("anything") is None, "the job runs where it is"
