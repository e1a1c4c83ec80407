"""Breakdowns of one machine: a full disk, a damaged shard, results that cannot be written, a clock that is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.reliability.record import record
from tests.workflow.study import jobs_of

SAMPLES = "results/tiny/samples/sd15/train"
PART = f"{SAMPLES}/part0.json"
SHARD = f"{SAMPLES}/part0-shard00002.tar"
POLICY = "results/tiny/policies/sd15_dpo.r1"


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[None]:
    """Something mounted at a folder; the test is skipped where that is not allowed."""
    done = subprocess.run(["mount", *how, str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(copied):
    whole, folder = copied.checksums(SAMPLES), copied.root / SAMPLES
    room = sum(path.stat().st_size for path in folder.iterdir()) // 2
    shutil.rmtree(folder)
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", f"size={room}", "tmpfs"):
        failed = copied.snakemake(PART, check=False)
        assert failed.returncode != 0
        assert "the disk or your quota is full" in failed.stdout
        kept = {path: state for path, state in copied.states(SAMPLES).items() if path.endswith(".parquet")}
        assert 0 < len(kept) < sum(path.endswith(".parquet") for path in whole)
        assert not (copied.root / PART).exists()

        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        copied.snakemake(PART)
        assert copied.checksums(SAMPLES) == whole
        after = copied.states(SAMPLES)
        assert {path: after[path] for path in kept} == kept
    record("the disk is full, until there is room", kept_shards=len(kept), result="equal")


def test_a_shard_is_truncated_after_it_was_written(copied):
    whole, before = copied.checksums("results/tiny/policies"), copied.states(SAMPLES)
    shard = copied.root / SHARD
    os.truncate(shard, shard.stat().st_size // 2)
    shutil.rmtree(copied.root / "results/tiny/latents")
    shutil.rmtree(copied.root / POLICY)
    failed = copied.snakemake(f"{POLICY}/policy.json", check=False)
    assert failed.returncode != 0
    (cure,) = set(re.findall(r"only this shard is made anew: (rm .+)", failed.stdout))
    assert SHARD in cure

    subprocess.run(cure, shell=True, check=True, cwd=copied.root)
    copied.snakemake(f"{POLICY}/policy.json")
    after = copied.states(SAMPLES)
    again = {Path(path).name.split(".")[0] for path, state in before.items() if after[path] != state}
    assert again == {"part0", "part0-shard00002"}
    assert copied.checksums("results/tiny/policies") == whole
    record("a shard is truncated after it was written (the error says what to run)", result="equal")


def test_results_that_cannot_be_written(copied):
    whole, folder = copied.checksums(SAMPLES), copied.root / "results"
    shutil.rmtree(copied.root / SAMPLES)
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        failed = copied.snakemake(PART, check=False)
        assert failed.returncode != 0
        assert "results" in failed.stdout and "ead-only file system" in failed.stdout
        subprocess.run(["mount", "-o", "remount,rw,bind", str(folder)], check=True)
        copied.snakemake(PART)
    assert copied.checksums(SAMPLES) == whole
    record("the results folder is read-only, until it is not", result="equal")


def test_the_clock_of_a_node_is_an_hour_ahead(copied):
    whole = copied.checksums("results/tiny/policies")
    future = time.time() + 3600
    for path in (copied.root / SAMPLES).iterdir():
        os.utime(path, (future, future))
    shutil.rmtree(copied.root / POLICY)
    made = jobs_of(copied.snakemake(f"{POLICY}/policy.json").stdout)
    assert copied.checksums("results/tiny/policies") == whole
    again = jobs_of(copied.snakemake(f"{POLICY}/policy.json").stdout)
    assert again == {}, "a wrong clock makes steps again, but not each time"
    record("samples come from a node whose clock is an hour ahead", jobs=sum(made.values()), result="equal")
