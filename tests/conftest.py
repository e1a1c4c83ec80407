"""Shared fixtures: small random models of the true classes, a disk that is soon full."""

import os
import subprocess

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.unit.tiny_pipelines", "tests.workflow.fixtures"]
UNASKED = {"long": "takes minutes", "large": "takes minutes and gigabytes"}
"""Markers of tests that run with the option of that name only, and why."""


def pytest_addoption(parser):
    for name, why in UNASKED.items():
        parser.addoption(f"--{name}", action="store_true", help=f"also what {why}: tests marked `{name}`")


def pytest_configure(config):
    for name, why in UNASKED.items():
        config.addinivalue_line("markers", f"{name}: {why}; runs with --{name}")


def pytest_collection_modifyitems(config, items):
    for name, why in UNASKED.items():
        for item in items if not config.getoption(f"--{name}") else ():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"{why}; runs with --{name}"))


@pytest.fixture
def tiny_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)
