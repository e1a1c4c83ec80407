"""The workflow on a real SLURM cluster: jobs go where they belong, ask for what they need, and make the same files."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests.slurm.cluster import Cluster, lacking
from tests.workflow.study import Study, make_study

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "SLURM is here")
TARGET = "results/tiny/scores/world/samples/sd15/eval/part0.parquet"
PARTITIONS = {
    "cpu": {"max_runtime": 60, "max_mem_mb": 16000, "max_threads": 8, "max_gpu": 0},
    "gpu": {"max_runtime": 120, "max_mem_mb": 64000, "max_threads": 16, "max_gpu": 4},
}
PROFILE = ("--profile", "profiles/slurm", "--software-deployment-method", "env-modules")  # the environment as it is
QUICK = ("--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "3", "--config", "scale=tiny")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def study(cluster, tmp_path_factory) -> Study:
    study = make_study(tmp_path_factory.mktemp("study") / "study")
    study.edit("profiles/slurm/partitions.yaml", lambda site: site.update(partitions=PARTITIONS))
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
