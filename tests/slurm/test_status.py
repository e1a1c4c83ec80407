"""`status` on a real cluster: a job is known by its number there, also when nobody waits for it any more."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.slurm.cluster import lacking, wait_until
from tests.slurm.submitting import queue, submit, take_site
from tests.workflow.study import make_study
from tests.workflow.test_status import BROKEN, SLOW, rows

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "SLURM is here")


def all_jobs() -> str:
    return subprocess.run(["squeue", "--noheader"], check=True, capture_output=True, text=True).stdout


def test_a_job_runs_on_without_its_head_until_it_is_cancelled(cluster, tmp_path):
    study = make_study(tmp_path / "study")
    take_site(study)
    study.replace("workflow_scripts/make_prompts.py", "    args = options.parse_args(argv)\n", BROKEN)
    head = submit(study, SLOW)
    wait_until(lambda: queue("%i"), "the job runs", 180)
    (job,) = queue("%i")
    assert rows(study.cli("status", SLOW, check=False).stdout)["total"] == ["1", "-", "1", "-", "-", "-"]

    os.killpg(head.pid, signal.SIGKILL)
    head.wait()
    alone = study.cli("status", SLOW, check=False).stdout
    assert rows(alone)["total"] == ["1", "-", "1", "-", "-", "-"]
    assert "was killed and left its locks" in alone

    subprocess.run(["scancel", job], check=True)
    wait_until(lambda: not all_jobs(), "the job has ended", 120)
    ended = study.cli("status", SLOW, check=False)
    assert rows(ended.stdout)["total"] == ["1", "-", "-", "-", "1", "-"] and ended.returncode == 3
