"""A folder in which the command lines find random models where the registry says that downloaded ones lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from workflow_scripts.lib.models import ROOT
from workflow_scripts.lib.spec.loading import load_document

RECORDS = ROOT / "results" / "large" / "records.jsonl"
COMMIT = 40 * "0"  # what a branch of a random model points to


@dataclass(frozen=True)
class Run:
    """A command that succeeded: seconds by the clock and its largest resident memory in GB."""

    verb: str
    seconds: float
    peak_gb: float


class Workspace:
    """`config/` with the registry's own entries, and `hub/`, a Hugging Face cache.

    An entry is changed in two ways: it has no checksums, and what is downloaded by url is a file in the cache, too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.hub, self.runs = folder, folder / "hub", []
        shutil.copytree(ROOT / "config", folder / "config")
        registry = load_document(ROOT / "config" / "models.yaml").data
        self.registry = {name: as_cached(entry) for name, entry in registry.items()}
        (folder / "config" / "models.yaml").write_text(json.dumps(self.registry))  # JSON is YAML

    def source(self, name: str, key: str = "source") -> Path:
        """The folder for the files of an entry's `source` or `processor`, or of its `vae` or `metadata`."""
        entry = self.registry[name][key]
        source = entry.get("source", entry)
        repository = self.hub / f"models--{source['hub'].replace('/', '--')}"
        commit = source["revision"]
        if commit == "main":
            commit = COMMIT
            (repository / "refs").mkdir(parents=True, exist_ok=True)
            (repository / "refs" / "main").write_text(commit)
        folder = repository / "snapshots" / commit / source.get("subfolder", "")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def run(self, verb: str, *words: object) -> Run:
        """Run `python -m workflow_scripts.<verb>` in the folder; AssertionError with the end of its log if it fails."""
        mine = {"HF_HUB_CACHE": str(self.hub), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        environment = os.environ | mine
        environment.pop("WORKFLOW_WARM_START", None)
        log, begun = self.folder / f"{verb}.log", time.monotonic()
        with open(log, "w") as output:
            command = [sys.executable, "-m", f"workflow_scripts.{verb}", *map(str, words)]
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
            peak = largest_memory(process)
        assert process.returncode == 0, f"{verb} ended with {process.returncode}: {log.read_text()[-3000:]}"
        self.runs.append(Run(verb, round(time.monotonic() - begun, 1), round(peak, 2)))
        return self.runs[-1]

    def record(self, title: str, ran: str, reduced: str = "nothing") -> None:
        """Add a line about all runs so far to `RECORDS`: what ran, and what was smaller than published."""
        RECORDS.parent.mkdir(parents=True, exist_ok=True)
        line = {"title": title, "ran": ran, "reduced": reduced, "runs": [asdict(run) for run in self.runs]}
        with open(RECORDS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def largest_memory(process: subprocess.Popen) -> float:
    """Wait for a process: GB of memory that it had resident at its most (wait4 would count what it was forked from)."""
    peak = 0.0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024 / 1e9
        time.sleep(0.1)
    return peak


def as_cached(entry: dict) -> dict:
    """A registry entry without checksums, all of whose sources are of the hub or in the repository."""
    changed = {key: as_cached(value) if isinstance(value, dict) else value for key, value in entry.items()}
    if "sha256" in changed:
        changed["sha256"] = {}
    if "url" in changed:
        name = Path(changed.pop("url")).name
        changed |= {"hub": f"random/{Path(name).stem}", "revision": "main", "files": [name]}
    return changed
