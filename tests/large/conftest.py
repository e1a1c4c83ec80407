"""Tests of this folder take minutes and gigabytes: they run with --large only."""

import pytest

from tests.large.workspace import Workspace


def pytest_collection_modifyitems(config, items):
    """Skip them unless they are asked for."""
    if config.getoption("--large"):
        return
    for item in items:
        if item.path.is_relative_to(config.rootpath / "tests" / "large"):
            item.add_marker(pytest.mark.skip(reason="takes minutes and gigabytes; make test-large"))


@pytest.fixture
def work(tmp_path):
    """A workspace, removed after the test: models take up to 15 GB."""
    import shutil

    yield Workspace(tmp_path / "work")
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
