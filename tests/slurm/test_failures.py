"""Breakdowns of a real cluster: whatever dies, the same command ends with the results of an undisturbed run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from tests.reliability.record import record
from tests.slurm.cluster import lacking, wait_until
from tests.slurm.submitting import queue, submit, take_site
from tests.workflow.study import TINY, Study, assumed
from workflow_scripts.lib.files import sha256

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "SLURM is here")
SAMPLES = "results/tiny/samples/sd15/train"
PART, FIRST_SHARD = f"{SAMPLES}/part0.json", f"{SAMPLES}/part0-shard00000.parquet"
POLICY, WEIGHTS = "results/tiny/policies/sd15_dpo.r1", "unet/diffusion_pytorch_model.safetensors"
STEPS_OF_MINUTES = 300
SETTINGS = "workflow_scripts/lib/training/settings.py"
LOG = "results/tiny/logs/sample_images/sd15.train.part0.log"
MINUTES = 60.0


class Broken:
    """A study whose samples are to be made again on the cluster; `whole` says how they end undisturbed."""

    def __init__(self, study: Study) -> None:
        take_site(study)
        self.study, self.whole, self.began = study, study.checksums(SAMPLES), time.monotonic()
        shutil.rmtree(study.root / SAMPLES)

    def in_the_middle(self, head: subprocess.Popen) -> dict[str, tuple[int, int]]:
        """Wait until the job has committed a shard, and stop it there; returns the state of the shard's files."""
        wait_until((self.study.root / FIRST_SHARD).exists, "a shard", 5 * MINUTES, poll=0.01)
        self.signal_job(signal.SIGSTOP)
        assert not (self.study.root / PART).exists(), "it was to be met in the middle"
        return {path: state for path, state in self.study.states(SAMPLES).items() if "shard00000" in path}

    def ends_equal(self, head: subprocess.Popen, kept: dict, what: str, **numbers: object) -> None:
        """The head ends well, the results are those of an undisturbed run, and what was whole was kept."""
        assert head.wait(timeout=10 * MINUTES) == 0, self.said()[-3000:]
        assert self.study.checksums(SAMPLES) == self.whole
        after = self.study.states(SAMPLES)
        assert {path: after[path] for path in kept} == kept
        seconds = round(time.monotonic() - self.began)
        record(what, jobs=len(self.memories()), kept_shards=len(kept) // 3, seconds=seconds, result="equal", **numbers)

    def signal_job(self, number: int) -> None:
        """Send a signal to all processes that sample in this study."""
        for process in psutil.process_iter(["cmdline"]):
            with suppress(psutil.NoSuchProcess):
                samples = "workflow_scripts.sample_images" in (process.info["cmdline"] or [])
                if samples and process.cwd() == str(self.study.root):
                    process.send_signal(number)

    def said(self) -> str:
        """What all heads said."""
        return (self.study.root / "head.log").read_text()

    def memories(self) -> list[int]:
        """MB asked for by each job that was submitted."""
        return [int(mb) for mb in re.findall(r"sbatch call: .*--mem[ =](\d+)", self.said())]


@pytest.fixture
def broken(cluster, finished, tmp_path) -> Broken:
    return Broken(finished.copy(tmp_path / "study"))


def test_a_job_is_cancelled(broken):
    head = submit(broken.study, PART)
    kept = broken.in_the_middle(head)
    (job,) = queue("%i")
    subprocess.run(["scancel", job], check=True)
    broken.ends_equal(head, kept, "a job is cancelled by the administrator")
    assert len(broken.memories()) == 2


def test_a_node_dies(broken, cluster):
    head = submit(broken.study, PART)
    kept = broken.in_the_middle(head)
    (node,) = queue("%N")
    cluster.kill_node(node)
    wait_until(lambda: set(queue("%N")) - {node}, "the job runs on another node", 5 * MINUTES)
    broken.ends_equal(head, kept, "a node dies")
    cluster.start_node(node)


def test_a_job_runs_out_of_memory(broken):
    head = submit(broken.study, PART, "--set-resources", "sample_images:mem_mb=500 * attempt * attempt * attempt")
    broken.ends_equal(head, {}, "a job takes more memory than it asked for")
    assert broken.memories() == [500, 4000]


@pytest.mark.long
def test_a_training_reaches_its_wall_time(broken):
    study = broken.study
    study.replace(SETTINGS, '0: each step", 60.0', '0: each step", 1.0')
    study.edit(TINY, lambda scale: scale["overrides"]["runs"]["training"].update(max_steps=assumed(STEPS_OF_MINUTES)))
    shutil.rmtree(study.root / POLICY)
    study.snakemake(f"{POLICY}/policy.json", "--rerun-triggers", "mtime")
    whole = sha256(study.root / POLICY / WEIGHTS)
    shutil.rmtree(study.root / POLICY)
    head = submit(
        study, f"{POLICY}/policy.json", "--rerun-triggers", "mtime", "--set-resources", "train_dpo:runtime=attempt"
    )
    assert head.wait(timeout=15 * MINUTES) == 0, broken.said()[-3000:]
    log = (study.root / "results/tiny/logs/train_dpo/sd15_dpo.r1.log").read_text()
    assert re.search(rf"continuing after step \d+ of {STEPS_OF_MINUTES}", log)
    assert sha256(study.root / POLICY / WEIGHTS) == whole
    seconds = round(time.monotonic() - broken.began)
    record("a training reaches its wall time", jobs=len(broken.memories()), seconds=seconds, result="equal")


def test_the_head_is_killed_and_started_again_while_its_job_runs(broken):
    first = submit(broken.study, PART)
    kept = broken.in_the_middle(first)
    (job,) = queue("%i")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = submit(broken.study, PART)
    log = broken.study.root / LOG
    waits = f"(SLURM job {job})"
    wait_until(lambda: log.exists() and waits in log.read_text(), "the second job waits for the first", 3 * MINUTES)
    broken.signal_job(signal.SIGCONT)
    broken.ends_equal(second, kept, "the head is killed, and started again while its job runs")
    assert "was killed: its locks are removed" in broken.said()
