"""Fixtures of the workflow tests: a fresh study, and one finished run that many tests look at."""

from __future__ import annotations

import pytest

from tests.workflow.study import TARGETS, Study, make_study


@pytest.fixture
def study(tmp_path) -> Study:
    """A fresh copy of the repository with a reduced tiny scale."""
    return make_study(tmp_path / "study")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Study:
    """A study in which Tab. 1 and Fig. 2 have been made. Shared: change a `copy` of it, never itself."""
    study = make_study(tmp_path_factory.mktemp("finished") / "study")
    study.log = study.snakemake("--printshellcmds", *TARGETS, warm=False).stdout
    return study


@pytest.fixture
def copied(finished, tmp_path) -> Study:
    """A copy of the finished run, to be changed; the run's files say how an undisturbed one ends."""
    return finished.copy(tmp_path / "study")
