"""The pip constraints and the conda environments name the same versions."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONDA_NAMES = {"pytorch-gpu": "torch", "matplotlib-base": "matplotlib", "python-isal": "isal"}
NOT_FROM_PIP = {"python", "cuda-version"}
OTHERS = {"vbench"}  # environments of packages that ask for other versions than ours


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split(";")[0].strip().split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_conda_pins_are_the_constraints(path):
    environment, pinned = yaml.safe_load(path.read_text()), constraints()
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    if path.stem in OTHERS:
        return
    for dependency in environment["dependencies"]:
        name, version = dependency.split("=")
        if name not in NOT_FROM_PIP:
            assert pinned[CONDA_NAMES.get(name, name)] == version, name


def test_the_environment_of_vbench_is_what_its_package_asks_for():
    *conda, from_pip = yaml.safe_load((ROOT / "envs/vbench.yaml").read_text())["dependencies"]
    versions = dict(one.split("=") for one in conda) | dict(one.split("==") for one in from_pip["pip"])
    assert (versions["vbench"], versions["transformers"], versions["timm"]) == ("0.1.5", "4.33.2", "1.0.12")
    assert versions["numpy"].startswith("1."), "numpy<2"
    commands = (ROOT / "docs/data.md").read_text()
    for name in ("vbench", "transformers", "pandas", "pyarrow"):
        assert f"{name}=={versions[name]}" in commands, "the pip route has the same versions"
    assert (ROOT / "envs/vbench.post-deploy.sh").read_text().split("git+")[1].strip() in commands


def test_every_requirement_is_constrained():
    pinned = constraints()
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            name = line.split("#")[0].split("==")[0].split("<")[0].strip().lower().replace("_", "-")
            if name and not name.startswith("-"):
                assert name in pinned, f"{name} of {file} is not in constraints.txt"
