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
from tests.workflow.study import Study, jobs_of

SAMPLES = "results/tiny/samples/sd15/train"
PART = f"{SAMPLES}/part0.json"
SHARD = f"{SAMPLES}/part0-shard00002.tar"
POLICY = "results/tiny/policies/sd15_dpo.r1"


@pytest.fixture
def study(finished, tmp_path) -> Study:
    """A copy of the finished run, whose files say how an undisturbed run ends."""
    return finished.copy(tmp_path / "study")


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


def test_a_full_disk(study):
    whole, folder = study.checksums(SAMPLES), study.root / SAMPLES
    room = sum(path.stat().st_size for path in folder.iterdir()) // 2
    shutil.rmtree(folder)
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", f"size={room}", "tmpfs"):
        failed = study.snakemake(PART, check=False)
        assert failed.returncode != 0
        assert "the disk or your quota is full" in failed.stdout
        kept = {path: state for path, state in study.states(SAMPLES).items() if path.endswith(".parquet")}
        assert 0 < len(kept) < sum(path.endswith(".parquet") for path in whole)
        assert not (study.root / PART).exists()

        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        study.snakemake(PART)
        assert study.checksums(SAMPLES) == whole
        after = study.states(SAMPLES)
        assert {path: after[path] for path in kept} == kept
    record("the disk is full, until there is room", kept_shards=len(kept), result="equal")


def test_a_shard_is_truncated_after_it_was_written(study):
    whole, before = study.checksums("results/tiny/policies"), study.states(SAMPLES)
    shard = study.root / SHARD
    os.truncate(shard, shard.stat().st_size // 2)
    shutil.rmtree(study.root / "results/tiny/latents")
    shutil.rmtree(study.root / POLICY)
    failed = study.snakemake(f"{POLICY}/policy.json", check=False)
    assert failed.returncode != 0
    (cure,) = set(re.findall(r"only this shard is made anew: (rm .+)", failed.stdout))
    assert SHARD in cure

    subprocess.run(cure, shell=True, check=True, cwd=study.root)
    study.snakemake(f"{POLICY}/policy.json")
    after = study.states(SAMPLES)
    again = {Path(path).name.split(".")[0] for path, state in before.items() if after[path] != state}
    assert again == {"part0", "part0-shard00002"}
    assert study.checksums("results/tiny/policies") == whole
    record("a shard is truncated after it was written (the error says what to run)", result="equal")


def test_results_that_cannot_be_written(study):
    whole, folder = study.checksums(SAMPLES), study.root / "results"
    shutil.rmtree(study.root / SAMPLES)
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        failed = study.snakemake(PART, check=False)
        assert failed.returncode != 0
        assert "results" in failed.stdout and "ead-only file system" in failed.stdout
        subprocess.run(["mount", "-o", "remount,rw,bind", str(folder)], check=True)
        study.snakemake(PART)
    assert study.checksums(SAMPLES) == whole
    record("the results folder is read-only, until it is not", result="equal")


def test_the_clock_of_a_node_is_an_hour_ahead(study):
    whole = study.checksums("results/tiny/policies")
    future = time.time() + 3600
    for path in (study.root / SAMPLES).iterdir():
        os.utime(path, (future, future))
    shutil.rmtree(study.root / POLICY)
    made = jobs_of(study.snakemake(f"{POLICY}/policy.json").stdout)
    assert study.checksums("results/tiny/policies") == whole
    again = jobs_of(study.snakemake(f"{POLICY}/policy.json").stdout)
    assert again == {}, "a wrong clock makes steps again, but not each time"
    record("samples come from a node whose clock is an hour ahead", jobs=sum(made.values()), result="equal")
