"""The conda environments of `envs/` and the rules that run in them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = sorted((REPOSITORY / "envs").glob("*.yaml"))
PIP_NAMES = {"pytorch-gpu": "torch", "matplotlib-base": "matplotlib", "python-isal": "isal"}
NOT_OF_PYTHON = {"python", "pip", "cuda-version", "cuda-nvcc", "cxx-compiler", "ninja"}
RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def versions_of(file: Path) -> dict[str, str]:
    """Versions that an environment asks for, by the names that PyPI has for its packages."""
    listed = yaml.safe_load(file.read_text())["dependencies"]
    from_pip = next((one["pip"] for one in listed if isinstance(one, dict)), [])
    conda = dict(one.partition("=")[::2] for one in listed if isinstance(one, str))
    named = {PIP_NAMES.get(name, name): version for name, version in conda.items() if name not in NOT_OF_PYTHON}
    return named | dict(one.split("==") for one in from_pip)


def constraints() -> dict[str, str]:
    """Versions of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line and not line.startswith("#"))


def rules() -> dict[str, tuple[str | None, list[str]]]:
    """(environment, command lines) of every rule."""
    texts = [file.read_text() for file in sorted((REPOSITORY / "rules").glob("*.smk"))]
    return {name: _environment_and_verbs(body) for text in texts for name, body in RULE.findall(text)}


def _environment_and_verbs(body: str) -> tuple[str | None, list[str]]:
    environment = re.search(r"conda:\s+\"\.\./envs/(\w+)\.yaml\"", body)
    return environment and environment[1], re.findall(r"workflow_scripts\.(\w+)", body)
