"""`--software-deployment-method conda`: environments are made from `envs/`, steps run in them, changes and pins count.

Solver, installation and activation are real, the channel is local: what a public channel has is not tried.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conda.channel import RUNS, Channel
from tests.conda.stand_in import install_command
from tests.workflow.study import SNAKEMAKE, Study, jobs_of, make_study

pytest.importorskip("rattler", reason="py-rattler, which solves and installs conda environments, is not here")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="links to the interpreter need POSIX")

SAMPLES, FIGURE = "results/tiny/samples/sd15/eval/part0.json", "results/tiny/figures/ganrm_fig1.png"
DEPLOY = ("--software-deployment-method", "conda")  # after the targets: it takes all words that follow
OLDER = "3.6.0"
PIN = "analysis.linux-64.pin.txt"


@pytest.fixture(scope="module")
def channel(tmp_path_factory) -> Channel:
    channel = Channel(tmp_path_factory.mktemp("channel"))
    channel.fill()
    channel.add_distribution(importlib.metadata.distribution("networkx"), OLDER)
    channel.write_index()
    install_command(channel.root / "base", channel.url)
    return channel


@pytest.fixture(scope="module")
def study(channel, tmp_path_factory) -> Study:
    """A study in which the first images and a figure have been made in conda environments."""
    study = make_study(tmp_path_factory.mktemp("study") / "study")
    study.log = run(study, channel, SAMPLES, FIGURE).stdout
    return study


@pytest.fixture
def editable(study) -> Iterator[Study]:
    """The same study, whose environment files are as they were after the test; a copy's have other places."""
    shutil.copytree(study.root / "envs", study.root / "before")
    yield study
    shutil.rmtree(study.root / "envs")
    (study.root / "before").rename(study.root / "envs")


def run(study: Study, channel: Channel, *words: str, check: bool = True) -> subprocess.CompletedProcess:
    """Snakemake with the stand-in for conda in its path."""
    path = f"PATH={channel.root / 'base' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return study.run("env", path, *SNAKEMAKE, *words, *DEPLOY, check=check)


def prefix_of(study: Study, environment: str) -> Path:
    """The prefix that was made last from an environment's file, or its pins, as they are now."""
    files = [study.root / f"envs/{environment}.yaml", study.root / "envs" / PIN]
    texts = {file.read_text() for file in files if file.exists() and file.name.startswith(environment)}
    copies = [*(study.root / ".snakemake/conda").glob("*.yaml"), *(study.root / ".snakemake/conda").glob("*.pin.txt")]
    made = max((file for file in copies if file.read_text() in texts), key=lambda file: file.stat().st_mtime)
    return made.with_name(made.name.partition(".")[0])


def runs_in(study: Study, environment: str) -> str:
    return (prefix_of(study, environment) / RUNS).read_text()


def test_each_step_runs_in_the_environment_of_its_rule(study):
    assert (study.root / SAMPLES).is_file() and (study.root / FIGURE).is_file()
    models, tables = runs_in(study, "diffusion"), runs_in(study, "analysis")
    for verb in ("make_prompts", "sample_images"):
        assert f"-m workflow_scripts.{verb} " in models and verb not in tables
    assert "-m workflow_scripts.draw_pipeline " in tables and "draw_pipeline" not in models
    assert "-m workflow_scripts.lib.warm " in models, "the warm process is one of the environment"


@pytest.mark.parametrize(("environment", "there"), [("analysis", False), ("diffusion", True)])
def test_an_environment_has_what_its_file_names_and_no_more(study, environment, there):
    python = prefix_of(study, environment) / "bin/python"
    code = "import importlib.util as i; print(*[bool(i.find_spec(name)) for name in ('torch', 'snakemake', 'pandas')])"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == f"{there} False True\n"


def test_a_changed_environment_makes_again_what_was_made_in_it(editable, channel):
    assert not jobs_of(run(editable, channel, "-n", SAMPLES, FIGURE).stdout)
    editable.replace("envs/analysis.yaml", "  - networkx=3.6\n", f"  - networkx={OLDER}\n")
    planned = run(editable, channel, "-n", SAMPLES, FIGURE).stdout
    assert jobs_of(planned) == {"draw_pipeline": 1, "total": 1}
    assert "Software environment definition has changed" in planned


def test_pins_beside_a_file_win_over_it(editable, channel):
    records = [path.stem for path in (prefix_of(editable, "analysis") / "conda-meta").glob("*.json")]
    assert f"networkx-{OLDER}-0" not in records, "the newest that the file allows"
    pinned = [f"networkx-{OLDER}-0" if name.startswith("networkx-") else name for name in records]
    lines = ["@EXPLICIT", *(f"{channel.url}/noarch/{name}.tar.bz2" for name in pinned)]
    (editable.root / "envs" / PIN).write_text("\n".join(lines))
    run(editable, channel, FIGURE, "--conda-create-envs-only")
    made = [path.stem for path in (prefix_of(editable, "analysis") / "conda-meta").glob("*.json")]
    assert sorted(made) == sorted(pinned)


def test_a_container_has_the_environments_where_snakemake_looks_for_them(editable, channel):
    path = f"PATH={channel.root / 'base' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    written = editable.run("env", path, *SNAKEMAKE, FIGURE, "--containerize", "dockerfile").stdout
    for environment in ("analysis", "diffusion", "vbench"):
        copied = re.search(rf"^COPY envs/{environment}.yaml (/conda-envs/\w+)/environment.yaml$", written, re.MULTILINE)
        assert f"conda env create --prefix {copied[1]} --file {copied[1]}/environment.yaml" in written


def test_an_environment_that_cannot_be_solved_stops_the_run(editable, channel):
    editable.replace("envs/analysis.yaml", "  - networkx=3.6\n", "  - networkx=99\n")
    stopped = run(editable, channel, FIGURE, "--conda-create-envs-only", check=False)
    assert stopped.returncode != 0 and "Could not create conda environment" in stopped.stdout
    assert "networkx" in stopped.stdout
