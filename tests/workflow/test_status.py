"""`status` of a real run: what failed and why, what runs, what a killed head left; and that it only looks."""

from __future__ import annotations

import re
import time

import pytest

from tests.workflow.study import SNAKEMAKE, Study, make_study
from tests.workflow.test_interrupts import kill, wait_for

DONE, FAILING, LEFT, SLOW = (f"results/tiny/prompts/{name}.parquet" for name in ("eval", "train", "pool", "negatives"))
LOG = "results/tiny/logs/make_prompts/train.log"
BROKEN = """    args = options.parse_args(argv)
    if args.prompt_set == "train":
        raise ValueError("the test wants this to fail")
    if args.prompt_set == "negatives":
        import time

        time.sleep(300)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """A run with one job done, one failed, one left; a fourth would take five minutes."""
    study = make_study(tmp_path_factory.mktemp("status") / "study")
    study.replace("workflow_scripts/make_prompts.py", "    args = options.parse_args(argv)\n", BROKEN)
    assert study.snakemake("--keep-going", DONE, FAILING, check=False, warm=False).returncode != 0
    return study


def rows(said: str) -> dict[str, list[str]]:
    """Counts by rule: jobs, done, running, queued, waiting, failed."""
    return {name: counts.split()[:6] for name, counts in re.findall(r"^(\w+)((?: +[\d-]+){6})", said, re.MULTILINE)}


def test_one_is_done_one_failed_one_is_left(study):
    (study.root / ".snakemake/iocache/latest.pkl").touch()  # of a dry run
    before = study.states("results") | study.states(".snakemake")
    said = study.cli("status", DONE, FAILING, LEFT, check=False)
    assert said.returncode == 1
    assert rows(said.stdout)["total"] == ["3", "1", "-", "-", "1", "1"]
    assert f"make_prompts: {FAILING}\n    log: {LOG}\n" in said.stdout
    assert "ValueError: the test wants this to fail" in said.stdout
    assert re.search(r"time left: 0:\d\d:\d\d of job time", said.stdout), "one job of the rule was measured"
    assert "no head runs" in said.stdout
    assert study.states("results") | study.states(".snakemake") == before


def test_exit_statuses_of_what_is_done_and_what_is_left(study):
    assert study.cli("status", DONE, check=False).returncode == 0
    assert study.cli("status", LEFT, check=False).returncode == 3
    unknown = study.cli("status", "nonsense", check=False)
    assert unknown.returncode == 2 and "nonsense" in unknown.stdout


def test_a_head_is_named_while_it_runs_and_its_leftovers_when_it_was_killed(study):
    head = study.start(*SNAKEMAKE, SLOW)
    wait_for((study.root / "results/tiny/logs/make_prompts/negatives.log").exists, head)
    time.sleep(1)
    running = study.cli("status", SLOW, check=False)
    assert rows(running.stdout)["total"] == ["1", "-", "1", "-", "-", "-"] and running.returncode == 3
    assert f"head: process {head.pid} on " in running.stdout

    kill(head)
    killed = study.cli("status", SLOW, check=False)
    assert rows(killed.stdout)["total"] == ["1", "-", "-", "-", "1", "-"] and killed.returncode == 3
    assert "was killed and left its locks" in killed.stdout
    assert f"interrupted; the same command goes on\n  make_prompts: {SLOW}" in killed.stdout


def test_efficiency_has_what_a_job_asked_for(study):
    said = study.cli("report_efficiency").stdout
    assert re.search(r"^make_prompts +1 +0:00:\d\d .* 0\.\d of 15 ", said, re.MULTILINE)
