"""A study: a light copy of the repository with a reduced tiny scale, in which the tests run what a user runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import yaml

from workflow_scripts.lib.files import sha256
from workflow_scripts.lib.spec.loading import load_document
from workflow_scripts.lib.warm import VARIABLE

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "rules", "config", "workflow_scripts", "profiles", "envs", "docs/captions")
TINY, TABLES = "config/scales/tiny.yaml", "config/tables"
USER_STUDY = "config/studies/ganrm_user_study.yaml"
TABLE, FIGURE = f"{TABLES}/ganrm_tab1.yaml", f"{TABLES}/ganrm_fig2.yaml"
IMAGES_OF_METHODS = f"{TABLES}/ganrm_fig3.yaml"
SNAKEMAKE = (sys.executable, "-m", "snakemake")
TARGETS = ("ganrm_tab1", "ganrm_fig2", "ganrm_fig3")
PROMPTS, IMAGES, SAMPLES, STEPS = 6, 12, 3, 4


class Study:
    """A copy of the repository at `root`; its commands are those of the README."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = ""

    def snakemake(self, *words: str, check: bool = True, warm: bool = True) -> subprocess.CompletedProcess:
        """Run snakemake to its end; stdout and stderr together are in `.stdout`."""
        return self.run(*SNAKEMAKE, *words, check=check, warm=warm)

    def dry_run(self, *words: str) -> dict[str, int]:
        """Jobs by rule of a dry run."""
        return jobs_of(self.snakemake("-n", *words).stdout)

    def cli(self, verb: str, *words: Any, check: bool = True) -> subprocess.CompletedProcess:
        """Run one command line of the workflow."""
        return self.run(sys.executable, "-m", f"workflow_scripts.{verb}", *map(str, words), check=check)

    def start(self, *command: str, warm: bool = False, log: IO | int = subprocess.DEVNULL) -> subprocess.Popen:
        """Start a command in a process group of its own, to be killed."""
        options = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
        return subprocess.Popen(command, cwd=self.root, env=environment(warm=warm), **options)

    def run(self, *command: str, check: bool = True, warm: bool = True) -> subprocess.CompletedProcess:
        """Run a command to its end; stdout and stderr together are in `.stdout`."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=self.root, env=environment(warm=warm), check=False, **options)
        assert done.returncode == 0 or not check, f"{' '.join(command)}\n… {done.stdout[-3000:]}"
        return done

    def edit(self, file: str, change: Callable[[Any], object]) -> None:
        """Change a YAML file as data."""
        path = self.root / file
        data = load_document(path).data
        change(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000))

    def replace(self, file: str, old: str, new: str) -> int:
        """Replace a text that stands in a file exactly once; returns its line."""
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times: adapt the test"
        path.write_text(text.replace(old, new))
        return text[: text.index(old)].count("\n") + 1

    def copy(self, root: Path) -> Study:
        """A copy with all results and what Snakemake knows of them."""
        shutil.copytree(self.root, root, symlinks=True)
        copy = Study(root)
        copy.log = self.log
        return copy

    def checksums(self, folder: str) -> dict[str, str]:
        """sha256 of every file below a folder, by path relative to the study."""
        files = sorted(path for path in (self.root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): sha256(path) for path in files}

    def states(self, folder: str) -> dict[str, tuple[int, int]]:
        """Inode and time of every file below a folder: equal where a file was not touched."""
        files = [path for path in (self.root / folder).rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def make_study(root: Path, *, resources: bool = True, reduced: bool = True) -> Study:
    """Copy the repository to `root`; `reduced` lowers the counts of the tiny scale to seconds per job."""
    for part in COPIED:
        source, target = REPOSITORY / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, target)
    if resources:
        (root / "resources").mkdir()
        for folder in (REPOSITORY / "resources").iterdir():
            (root / "resources" / folder.name).symlink_to(folder)
    study = Study(root)
    if reduced:
        study.edit(TINY, reduce_scale)
        for sheet in (root / TABLES).glob("*.yaml"):
            study.edit(f"{TABLES}/{sheet.name}", reduce_sheet)
        study.edit(USER_STUDY, lambda page: page.update(num_prompts=assumed(PROMPTS)))
        for sheet in (TABLE, IMAGES_OF_METHODS):
            study.edit(sheet, leave_sdxl_out)
    return study


def leave_sdxl_out(sheet: dict) -> None:
    """Leave what is of SD1.5: SDXL goes through the same rules, as a test of its own shows."""
    part = "rows" if "rows" in sheet else "blocks"
    sheet[part] = [one for one in sheet[part] if one["base"] == "SD1.5"]


def reduce_scale(scale: dict) -> None:
    """Lower every count of the tiny scale; a shard holds the images of one prompt of the pool."""
    fewer = {"train": PROMPTS, "pool": PROMPTS, "negatives": IMAGES, "eval": IMAGES}
    scale["prompts"].update({name: assumed(count) for name, count in fewer.items()})
    scale["images"].update(proxies=assumed(IMAGES), references=assumed(IMAGES), preferences=assumed(PROMPTS))
    scale["counts"].update(
        samples_per_prompt=assumed(SAMPLES),
        images_per_shard=SAMPLES,
        shards_per_job=20,
        bootstrap_resamples=20,
        minimum_images_for_fid=IMAGES,
        sampling_batch_size=SAMPLES,
    )
    rewards, runs = scale["overrides"]["rewards"], scale["overrides"]["runs"]
    scale["overrides"]["named"].pop("rewards")
    rewards.update(num_proxies=assumed(IMAGES), num_negatives=assumed(IMAGES))
    rewards["bootstrap"].update(num_positives=assumed(2), num_negatives=assumed(2))
    rewards["optimizer"] = {"batch_size": assumed(8), "epochs": assumed(3)}
    runs.update(candidates=assumed(SAMPLES), pairs=assumed(1))
    runs["training"].update(max_steps=assumed(STEPS), lr_warmup_steps=assumed(1))


def reduce_sheet(sheet: Any) -> None:
    """Rank no more samples than the reduced pool has, and show no more prompts; anywhere in a table or figure."""
    for value in sheet.values() if isinstance(sheet, dict) else sheet if isinstance(sheet, list) else ():
        reduce_sheet(value)
    limits = {"best_of": SAMPLES, "ranks_of": SAMPLES, "show": PROMPTS}
    for key in limits.keys() & sheet.keys() if isinstance(sheet, dict) else ():
        sheet[key] = min(sheet[key], limits[key])


def assumed(value: Any) -> dict[str, Any]:
    """A hyperparameter of a test."""
    return {"value": value, "assumed": "a test must be quick"}


def environment(*, warm: bool) -> dict[str, str]:
    """What commands of a study see: this interpreter first, one thread each, no hub.

    With `warm` they share a warm process that belongs to the tests, else they are on their own.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    shared = {VARIABLE: str(os.getpid())} if warm else {}
    return {**inherited, "PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **shared}


def jobs_of(output: str) -> dict[str, int]:
    """The table `job … count` that Snakemake prints before it starts; empty when nothing is to be done."""
    _, _, table = output.partition("Job stats:")
    rows = re.findall(r"^(\w+) +(\d+)$", table.partition("\n\n")[0], re.MULTILINE)
    return {rule: int(count) for rule, count in rows}
