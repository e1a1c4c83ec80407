"""A training on two nodes: one job, a process on each, and the losses of one process."""

from __future__ import annotations

import shutil

import pytest

from tests.reliability.record import record
from tests.slurm.cluster import lacking
from tests.slurm.submitting import submit, take_site
from tests.workflow.study import TINY
from workflow_scripts.lib.files import read_json

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "SLURM is here")
POLICY = "results/tiny/policies/sd15_dpo.r1"


def test_two_nodes_train_what_one_process_trains(cluster, finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    take_site(study)
    alone = read_json(study.root / POLICY / "history.json")
    shutil.rmtree(study.root / POLICY)
    study.edit(TINY, lambda scale: scale["counts"].update(training_nodes=2))
    head = submit(study, f"{POLICY}/policy.json")
    said = study.root / "head.log"
    assert head.wait(timeout=600) == 0, said.read_text()[-3000:]
    assert "--nodes=2" in said.read_text()
    log = (study.root / "results/tiny/logs/train_dpo/sd15_dpo.r1.log").read_text()
    assert "on 2 process(es)" in log

    together = read_json(study.root / POLICY / "history.json")
    losses, expected = ([step["loss"] for step in history] for history in (together, alone))
    assert losses == pytest.approx(expected, rel=1e-5)
    difference = max(abs(ours / theirs - 1) for ours, theirs in zip(losses, expected, strict=True))
    record("a training on two nodes", jobs=1, result=f"losses within {difference:.0e} of one process's")
