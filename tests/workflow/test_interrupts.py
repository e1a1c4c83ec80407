"""kill -9 at the worst moments: the same command continues, redoes nothing that was finished, and ends equal."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.study import SNAKEMAKE, STEPS, Study

SAMPLES = "results/tiny/samples/sd15/train"
PART = f"{SAMPLES}/part0.json"
POLICY = "results/tiny/policies/sd15_dpo.r1"
SECOND_SHARD, SECOND_STATE = "part0-shard00001.parquet", "step00000002.*.pt"


def command_of(study: Study, verb: str, out: str) -> list[str]:
    """The command line that made a file, as the run printed it."""
    printed = re.search(rf"python -m (workflow_scripts\.{verb} .+ --out {re.escape(out)}) >", study.log)[1]
    return [sys.executable, "-m", *shlex.split(printed)]


def wait_for(condition: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    """Wait until a condition holds; fails after three minutes, or when a process that is to fulfil it has ended."""
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        assert process is None or process.poll() is None, "the process ended too early"
        time.sleep(0.002)


def kill(process: subprocess.Popen, *, children: bool = True) -> None:
    """kill -9 of a process, and of all that it started."""
    (os.killpg if children else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def finished_shards(study: Study) -> dict[str, tuple[int, int]]:
    """State of the files of every committed shard: one whose index is there."""
    indices = [path.stem for path in (study.root / SAMPLES).glob("*.parquet")]
    return {path: state for path, state in study.states(SAMPLES).items() if Path(path).name.split(".")[0] in indices}


def test_killed_sampling_keeps_its_shards_and_ends_equal(copied):
    whole, command = copied.checksums(SAMPLES), command_of(copied, "sample_images", PART)
    shutil.rmtree(copied.root / SAMPLES)
    process = copied.start(*command)
    wait_for((copied.root / SAMPLES / SECOND_SHARD).exists, process)
    kill(process)
    before = finished_shards(copied)
    assert 2 * 3 <= len(before) < len(whole) - 1, "it was to die in the middle"
    assert not (copied.root / PART).exists()

    copied.run(*command)
    after = copied.states(SAMPLES)
    assert {path: after[path] for path in before} == before
    assert copied.checksums(SAMPLES) == whole


def test_a_killed_training_continues_from_its_state_and_ends_equal(copied):
    whole, command = copied.checksums(POLICY), command_of(copied, "train_dpo", f"{POLICY}/policy.json")
    shutil.rmtree(copied.root / POLICY)
    process = copied.start(*command, "--checkpoint-seconds", "0")
    wait_for(lambda: any((copied.root / POLICY / "state").glob(SECOND_STATE)), process)
    kill(process)
    assert sorted(path.name for path in (copied.root / POLICY).iterdir()) == [".policy.json.lock", "state"]

    said = copied.run(*command).stdout
    assert re.search(rf"continuing after step [23] of {STEPS}", said)
    assert copied.checksums(POLICY) == whole


@pytest.mark.parametrize("children", [False, True], ids=["head", "head and jobs"])
def test_a_killed_snakemake_continues_by_the_same_command(copied, children):
    whole = copied.checksums(SAMPLES)
    shutil.rmtree(copied.root / SAMPLES)
    head = copied.start(*SNAKEMAKE, PART)
    wait_for((copied.root / SAMPLES / SECOND_SHARD).exists, head)
    kill(head, children=children)  # without them the job lives on, and the next one waits for it
    before = finished_shards(copied)
    assert 2 * 3 <= len(before) < len(whole) - 1, "it was to die in the middle"

    assert "was killed: its locks are removed" in copied.snakemake(PART).stdout
    after = copied.states(SAMPLES)
    assert {path: after[path] for path in before} == before
    assert copied.checksums(SAMPLES) == whole
    assert "Nothing to be done" in copied.snakemake(PART).stdout


def test_a_second_snakemake_is_told_of_the_first(copied):
    shutil.rmtree(copied.root / SAMPLES)
    head = copied.start(*SNAKEMAKE, PART)
    wait_for((copied.root / SAMPLES / SECOND_SHARD).exists, head)
    os.killpg(head.pid, signal.SIGSTOP)  # so that it cannot end before the second has begun
    second = copied.snakemake(PART, check=False)
    assert second.returncode != 0
    assert f"Also running here: process {head.pid} on " in second.stdout
    kill(head)


def test_an_interrupt_from_the_keyboard_needs_nothing(copied):
    whole = copied.checksums(SAMPLES)
    shutil.rmtree(copied.root / SAMPLES)
    head = copied.start(*SNAKEMAKE, PART)
    wait_for((copied.root / SAMPLES / SECOND_SHARD).exists, head)
    os.killpg(head.pid, signal.SIGINT)
    head.wait(timeout=60)  # a small job may have ended before the signal came
    before = finished_shards(copied)
    copied.snakemake(PART)
    after = copied.states(SAMPLES)
    assert {path: after[path] for path in before} == before
    assert copied.checksums(SAMPLES) == whole
