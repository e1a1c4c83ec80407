"""How a command line ends, and what it prints while it works."""

import signal
import subprocess
import sys
import time

import pytest

from workflow_scripts import compute_metrics, proxy_win_rate, train_grpo, validate_reward
from workflow_scripts.lib import cli
from workflow_scripts.lib import progress as progress_module
from workflow_scripts.lib.monitor.efficiency import GPU_MEMORY
from workflow_scripts.lib.progress import Progress, progress

SCRIPT = """
import errno, os, signal, sys, time
from workflow_scripts.lib.cli import run
from workflow_scripts.lib.errors import UserError

def main():
    {body}

run(main)
"""

TRY_FINALLY = """try:
        {}
    finally:
        {}"""


def run_script(body):
    return subprocess.run([sys.executable, "-c", SCRIPT.format(body=body)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("body", "status", "stderr"),
    [
        ("print('fine')", 0, ""),
        ("raise UserError('no such run\\n  known: dino')", 2, "error: no such run known: dino\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("sys.exit(3)", 3, ""),
    ],
)
def test_exit_status_and_message(body, status, stderr):
    done = run_script(body)
    assert (done.returncode, done.stderr) == (status, stderr)


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path):
    done = run_script(f"raise OSError(errno.ENOSPC, 'No space left on device', {str(tmp_path / 'a')!r})")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: the disk or your quota is full: {tmp_path} has ")
    assert done.stderr.count("\n") == 1


def test_a_defect_keeps_its_traceback():
    done = run_script("raise ValueError('ours')")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "ValueError: ours" in done.stderr


def test_sigterm_runs_the_finally_blocks_and_ends_promptly():
    body = TRY_FINALLY.format("print('ready', flush=True); time.sleep(60)", "print('tidied')")
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(body=body)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "tidied\n"
    assert process.returncode == 143
    assert time.monotonic() - start < 10


def test_a_second_sigterm_ends_what_does_not_want_to_end():
    terminate = "os.kill(os.getpid(), signal.SIGTERM)"
    assert run_script(TRY_FINALLY.format(terminate, terminate)).returncode == -signal.SIGTERM


def test_the_parser_takes_the_first_line_and_refuses_abbreviations(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train_reward.py"])
    parser = cli.parser("Train a head.\n\nAt length.")
    parser.add_argument("--steps", type=int, default=7, help="updates")
    usage = parser.format_help()
    assert "python -m workflow_scripts.train_reward" in usage and "Train a head." in usage and "At length" not in usage
    assert "(default: 7)" in usage
    with pytest.raises(SystemExit):
        parser.parse_args(["--step", "3"])
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option", "shape", "wrong"),
    [
        (compute_metrics, "--scores", "METRIC=PATH", "pickscore"),
        (compute_metrics, "--features", "METRIC=PATH", "=a.safetensors"),
        (proxy_win_rate, "--a", "TITLE:COLUMN=PATH", "PickScore=a.parquet"),
        (proxy_win_rate, "--b", "TITLE:COLUMN=PATH", ":pickscore=a.parquet"),
        (validate_reward, "--judges", "COLUMN=PATH", "pickscore="),
        (train_grpo, "--rewards", "NAME=MODEL:WEIGHT", "ocr=tiny_ocr"),
        (train_grpo, "--rewards", "NAME=MODEL:WEIGHT", "ocr=tiny_ocr:much"),
    ],
)
def test_an_argument_of_another_form_is_refused(capsys, command, option, shape, wrong):
    with pytest.raises(SystemExit) as ended:
        command.main([option, wrong])
    assert ended.value.code == 2
    assert f"argument {option}: '{wrong}' is not of the form {shape}" in capsys.readouterr().err


def test_arguments_of_a_form_are_taken_apart_and_grouped():
    titled = cli.form("TITLE:COLUMN=PATH")
    assert titled("Aesthetic: ours:score=a=b:c.parquet") == ("Aesthetic: ours", "score", "a=b:c.parquet")
    assert cli.form("NAME=MODEL:WEIGHT", str, str, float)("ocr=tiny:ocr:0.5") == ("ocr", "tiny:ocr", 0.5)
    assert cli.grouped([("a", 1), ("b", 2), ("a", 3)]) == {"a": [1, 3], "b": [2]}


def test_a_command_line_is_light():
    code = "import sys, workflow_scripts.lib.cli; print({'torch', 'numpy', 'pandas', 'tqdm'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_progress_in_a_log_is_a_line_now_and_then(monkeypatch, capsys):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    assert list(progress(range(7), desc="sampling")) == list(range(7))
    assert capsys.readouterr().err.splitlines() == [
        "sampling: 3/7 (43%), 10.0 s each, 0:00:40 left",
        "sampling: 6/7 (86%), 10.0 s each, 0:00:10 left",
        "sampling: 7/7 (100%), 10.0 s each, 0:00:00 left",
    ]


def test_progress_without_a_total(monkeypatch, capsys):
    clock = iter([0.0, 31.0, 32.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    assert list(progress(iter("ab"), desc="reading")) == ["a", "b"]
    assert capsys.readouterr().err == "reading: 1, 31.0 s each\nreading: 2, 16.0 s each\n"


def test_what_was_done_before_counts_as_done_but_is_no_speed(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 40.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    shown = Progress(100, "sampling", done=10)
    shown.skip(50)
    shown.advance(20)
    assert capsys.readouterr().err == "sampling: 80/100 (80%), 2.0 s each, 0:00:40 left\n"


def test_of_several_processes_the_first_speaks(monkeypatch, capsys):
    clock = iter(range(0, 1000, 100))
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setenv("RANK", "1")
    assert list(progress([1, 2], desc="training")) == [1, 2]
    assert capsys.readouterr().err == ""


def test_short_loops_print_nothing(capsys):
    assert list(progress([1, 2, 3], 3, "quick")) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress([1, 2, 3], desc="drawing")) == [1, 2, 3]
    assert "drawing: 100%" in capsys.readouterr().err
    assert list(progress([3], 3, "drawing", done=2)) == [3]
    assert "3/3" in capsys.readouterr().err


def test_a_training_of_the_zoo_says_how_far_it_is(monkeypatch, capsys):
    import torch

    from workflow_scripts.lib.zoo.optimise import minimise

    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LINES", 0.0)
    weight = torch.nn.Parameter(torch.ones(1))
    minimise([weight], lambda step: weight.square().sum(), 2, 1e-3, "vae")
    assert [line.partition(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "vae: 1/2 (50%)",
        "vae: 2/2 (100%)",
    ]


def test_a_log_is_told_the_peak_of_gpu_memory(monkeypatch, capsys):
    class Cuda:
        is_initialized, current_device = staticmethod(lambda: True), staticmethod(lambda: 0)
        max_memory_reserved = staticmethod(lambda: 11_200_000_000)

        @staticmethod
        def get_device_properties(device):
            return type("Properties", (), {"total_memory": 80_000_000_000})

    monkeypatch.setitem(sys.modules, "torch", type("Torch", (), {"cuda": Cuda}))
    cli.run(lambda: None)
    said = capsys.readouterr().err
    assert said == "peak GPU memory: 11200 of 80000 MB\n" and GPU_MEMORY.findall(said) == [("11200", "80000")]
