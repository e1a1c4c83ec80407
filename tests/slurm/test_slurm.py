"""The workflow on a real SLURM cluster: jobs go where they belong, ask for what they need, and make the same files."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.reliability.record import record
from tests.slurm.cluster import lacking
from tests.slurm.submitting import PROFILE, QUICK, submit, take_site
from tests.workflow.study import TARGETS, Study, make_study

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "SLURM is here")
TARGET = "results/tiny/scores/world/samples/sd15/eval/part0.parquet"


@pytest.fixture(scope="module")
def study(cluster, tmp_path_factory) -> Study:
    study = make_study(tmp_path_factory.mktemp("study") / "study")
    take_site(study)
    gpus = ("--set-resources", "sample_images:gpu=1", "sample_images:gpu_model='h100'")
    study.log = study.snakemake(TARGET, *PROFILE, *gpus, "--verbose", *QUICK).stdout
    return study


def submissions(study: Study) -> dict[str, str]:
    """The sbatch call of each rule's job."""
    calls = re.findall(r"sbatch call: (.+)", study.log)
    return {re.search(r"--comment[ =]\"?'?(?:rule_)?(\w+?)(?:_wildcards|\"|')", call)[1]: call for call in calls}


def test_gpu_jobs_ask_for_gpus_and_others_do_not(study):
    calls = submissions(study)
    assert calls.keys() == {"make_prompts", "sample_images", "score_images"}
    assert "--gpus=h100:1" in calls["sample_images"] and "-p gpu" in calls["sample_images"]
    assert "--gpus" not in calls["make_prompts"] and "-p cpu" in calls["make_prompts"]


def test_results_are_those_of_the_local_machine(study, tmp_path):
    local = make_study(tmp_path / "study")
    local.snakemake(TARGET)
    ours, theirs = (pd.read_parquet(one.root / TARGET) for one in (study, local))
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.long
def test_a_whole_study_is_that_of_the_local_machine(cluster, finished, tmp_path):
    study = make_study(tmp_path / "study")
    take_site(study)
    head = submit(study, *TARGETS)
    assert head.wait(timeout=3600) == 0, (study.root / "head.log").read_text()[-3000:]
    for folder in ("samples", "policies", "tables"):
        assert study.checksums(f"results/tiny/{folder}") == finished.checksums(f"results/tiny/{folder}")
    jobs = (study.root / "head.log").read_text().count("sbatch call:")
    record("nothing: a table and two figures through SLURM", jobs=jobs, result="equal")
