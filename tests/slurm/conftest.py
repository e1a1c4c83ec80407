"""One cluster for all tests that need one."""

from __future__ import annotations

import pytest

from tests.slurm.cluster import Cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    cluster.start()
    yield cluster
    cluster.stop()
