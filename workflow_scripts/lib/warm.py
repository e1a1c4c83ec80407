"""A warm start for short jobs: one process imports torch, transformers and diffusers, every job is forked from it.

Importing these libraries costs 5 to 10 CPU-seconds, more than most jobs of the tiny scale need for their work. With the
environment variable WORKFLOW_WARM_START set to the process id of the running snakemake (rules/common.smk does that
where the scale asks for it), a command line hands itself over to the warm process: arguments, environment, folder,
stdout and stderr travel, the exit status comes back. The warm process imports nothing of this package, so it never runs
old code; it ends with the snakemake that it belongs to. If anything about it fails, the job simply runs where it is.

A forked job dies with the command that handed it over: when that is killed its connection closes and the job is killed.

A request holds the environment, with its tokens, and the process runs what it is told to. So its socket lies in a
folder that is its user's and nobody else's; a folder of another kind is not used.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from .files import is_running

VARIABLE = "WORKFLOW_WARM_START"
START_TIMEOUT, POLL_SECONDS = 120.0, 1.0
LIBRARIES = (
    ("torch", ()),
    ("pandas", ()),
    ("pyarrow.parquet", ()),
    ("scipy.stats", ()),
    ("safetensors.torch", ()),
    ("PIL.Image", ()),
    ("accelerate", ("Accelerator",)),
    (
        "transformers",
        ("AutoTokenizer", "CLIPModel", "CLIPVisionModel", "CLIPTextModel", "CLIPTokenizer", "BlipTextModel"),
    ),
    (
        "diffusers",
        ("StableDiffusionPipeline", "UNet2DConditionModel", "AutoencoderKL", "DDIMScheduler", "DDPMScheduler"),
    ),
)


def run_warm(module: str) -> int | None:
    """Run `python -m module` with this process's arguments in the warm process: exit status, or None to run here."""
    owner = os.environ.get(VARIABLE)
    if not owner or "SLURM_JOB_ID" in os.environ or owner == str(os.getpid()):
        return None
    request = {"module": module, "argv": sys.argv[1:], "cwd": str(Path.cwd()), "environment": dict(os.environ)}
    payload = json.dumps(request).encode()
    try:
        connection = _connection(owner)
        socket.send_fds(connection, [len(payload).to_bytes(8, "big")], [sys.stdout.fileno(), sys.stderr.fileno()])
    except (OSError, TimeoutError):
        return None
    answer = b""  # handed over: from here on a failure is the job's, which must not run a second time
    with connection, contextlib.suppress(OSError):
        connection.sendall(payload)
        answer = connection.recv(4)
    return int.from_bytes(answer, "big") if answer else 128 + signal.SIGKILL


def _connection(owner: str) -> socket.socket:
    """A connection to the owner's warm process, which is started if there is none."""
    path = _socket_path(owner)
    with contextlib.suppress(OSError):
        return _connect(path)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            return _connect(path)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path), owner],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return _wait_for(path, process)


def _wait_for(path: Path, process: subprocess.Popen) -> socket.socket:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            return _connect(path)
        time.sleep(0.05)
    raise TimeoutError("the warm process did not start")


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _socket_path(owner: str) -> Path:
    environment = zlib.crc32(sys.prefix.encode())  # each conda environment has a warm process of its own
    return _private_folder() / f"{owner}-{environment:08x}.sock"


def _private_folder() -> Path:
    """A folder that only this user may enter; PermissionError where somebody else has made one of its name."""
    folder = Path(tempfile.gettempdir()) / f"workflow-warm-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    return folder


def serve(path: Path, owner: int) -> None:
    """Import the libraries, then fork a job per connection until the owner is gone."""
    os.environ["OMP_NUM_THREADS"] = "1"  # no thread may run before a fork
    _import_libraries()
    with _listening(path) as listener:
        while is_running(owner):
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                _fork_job(connection, listener)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _import_libraries() -> None:
    for name, attributes in LIBRARIES:
        with contextlib.suppress(ImportError):  # an environment may lack some; a job that needs one says so itself
            module = importlib.import_module(name)
            for attribute in attributes:  # transformers and diffusers import on first use
                getattr(module, attribute)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(64)
    listener.settimeout(POLL_SECONDS)
    try:
        yield listener
    finally:
        listener.close()
        for leftover in (path, path.with_suffix(".lock")):
            leftover.unlink(missing_ok=True)


def _fork_job(connection: socket.socket, listener: socket.socket) -> None:
    """A supervisor process per job: it forks the job, reports its exit status, and kills it if the caller goes away."""
    connection.settimeout(None)
    if os.fork():
        connection.close()
        return
    listener.close()
    status = 1
    try:
        header, (out, err), *_ = socket.recv_fds(connection, 8, 2)
        request = json.loads(_receive(connection, int.from_bytes(header, "big")))
        job = os.fork()
        if job == 0:
            connection.close()
            _become(request, out, err)
        threading.Thread(target=_kill_when_closed, args=(connection, job), daemon=True).start()
        status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    finally:
        with contextlib.suppress(OSError):
            connection.sendall((status if status >= 0 else 128 - status).to_bytes(4, "big"))
        os._exit(0)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def _kill_when_closed(connection: socket.socket, job: int) -> None:
    with contextlib.suppress(OSError):
        if not connection.recv(1):
            os.kill(job, signal.SIGKILL)


def _become(request: dict, out: int, err: int) -> None:
    """Turn this process into the job: its streams, folder, environment and arguments; never returns."""
    import runpy

    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    del os.environ[VARIABLE]
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["argv"]]
    _use_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _forget_package()
    status = 0
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _forget_package() -> None:
    """The job imports this package anew, from its own folder: the warm process may have been started in another."""
    package = __package__.partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def _use_threads(number: int) -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(number)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
