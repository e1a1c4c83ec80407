"""Shared fixtures: small random models of the true classes."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.unit.tiny_pipelines"]


def pytest_addoption(parser):
    """`--large`: run the tests in tests/large, too."""
    parser.addoption("--large", action="store_true", help="also run models at their true size (make test-large)")
