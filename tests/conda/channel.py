"""A conda channel in a folder, made of the running interpreter and the packages installed beside it.

`python` is a link to the interpreter, made its own prefix as a virtual environment is. Each other package holds one
.pth file that names a folder with links to what its distribution installed. So an environment sees exactly the packages
that were solved for it. Their dependencies are those of their metadata, under the names that `envs/` uses. What this
cannot show is whether a public channel has these versions.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from tests.environments import FILES, NOT_OF_PYTHON, PIP_NAMES

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
CONDA_NAMES = {pip: conda for conda, pip in PIP_NAMES.items()}
RUNS = "runs.log"
NOTE_RUN = f"""
import os, sys
with open(os.path.join(sys.prefix, {RUNS!r}), "a") as file:
    file.write(" ".join(sys.orig_argv) + chr(10))
"""
"""sitecustomize.py of every environment: each start of its interpreter is noted."""


class Channel:
    """Packages under `root`/channel; `url` is what a solver reads."""

    def __init__(self, root: Path) -> None:
        self.root, self.packages = root, root / "channel" / "noarch"
        self.packages.mkdir(parents=True)
        self.url = self.packages.parent.as_uri()

    def fill(self) -> None:
        """A package for each distribution that is installed, for python, and for the rest that `envs/` names."""
        self.add("python", _asked("python"), links={"bin/python": interpreter()}, files=_files_of_python())
        for name in NOT_OF_PYTHON - {"python"}:
            self.add(name, _asked(name))
        for distribution in importlib.metadata.distributions():
            if distribution.files and _conda(distribution.name) not in NOT_OF_PYTHON:
                self.add_distribution(distribution)

    def add_distribution(self, distribution: importlib.metadata.Distribution, version: str | None = None) -> None:
        """Package an installed distribution, under another version if told so."""
        name, folder = _conda(distribution.name), self.root / "distributions" / distribution.name
        folder.mkdir(parents=True, exist_ok=True)
        for top in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            link = folder / top
            if not link.is_symlink():
                link.symlink_to(distribution.locate_file(top))
        version = version or distribution.version.partition("+")[0]
        self.add(name, version, list(_dependencies(distribution)), files={f"{SITE}/{name}.pth": f"{folder}\n"})

    def add(
        self,
        name: str,
        version: str,
        depends: list[str] | None = None,
        links: dict[str, Path] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        """Write one package: a tar with its metadata, symbolic links and text files."""
        about = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": depends or []}
        index = json.dumps(about | {"noarch": "generic", "subdir": "noarch"})
        listed = "\n".join([*(links or {}), *(files or {})])
        with tarfile.open(self.packages / f"{name}-{version}-0.tar.bz2", "w:bz2") as tar:
            for path, text in {"info/index.json": index, "info/files": listed, **(files or {})}.items():
                entry = tarfile.TarInfo(path)
                entry.size = len(text.encode())
                tar.addfile(entry, BytesIO(text.encode()))
            for path, target in (links or {}).items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
                tar.addfile(entry)

    def write_index(self) -> None:
        """Write repodata.json, which a solver reads."""
        from rattler.index import index_fs

        asyncio.run(index_fs(self.packages.parent, write_zst=False, write_shards=False))


def interpreter() -> Path:
    """The interpreter behind the virtual environment that the tests run in."""
    return Path(sys._base_executable).resolve()


def _files_of_python() -> dict[str, str]:
    home = f"home = {interpreter().parent}\ninclude-system-site-packages = false\n"
    note = {f"{SITE}/note_run.py": NOTE_RUN, f"{SITE}/note_run.pth": "import note_run\n"}
    return {"pyvenv.cfg": home, **note}  # Debian's interpreter has a sitecustomize of its own


def _asked(name: str) -> str:
    """The version of a package in the first environment that names it; 0 where none asks for one."""
    for file in FILES:
        for dependency in yaml.safe_load(file.read_text())["dependencies"]:
            if isinstance(dependency, str) and dependency.startswith(f"{name}="):
                return dependency.partition("=")[2]
    return "0"


def _conda(name: str) -> str:
    normal = name.lower().replace("_", "-").replace(".", "-")
    return CONDA_NAMES.get(normal, normal)


def _dependencies(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    for line in distribution.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield f"{_conda(requirement.name)} {requirement.specifier}".strip()
