"""A workspace for each test."""

import shutil

import pytest

from tests.large.workspace import Workspace


@pytest.fixture
def work(tmp_path):
    """A workspace, removed after the test: models take up to 15 GB."""
    yield Workspace(tmp_path / "work")
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
