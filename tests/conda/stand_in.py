"""A stand-in for the command `conda` with the calls that Snakemake makes; py-rattler solves and installs.

`python stand_in.py BASE CHANNEL …` is `conda …`: BASE is the folder of its own bin/activate, CHANNEL takes the place of
every channel that a file names. Packages of a file's pip part come from that channel, too. As conda does, it installs
just what a file of pinned packages lists.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

VERSION = "24.7.1"
ACTIVATE = 'export CONDA_PREFIX="$1"\nexport PATH="$1/bin:$PATH"\n'


def install_command(base: Path, channel: str) -> Path:
    """Write bin/conda and bin/activate below `base`; returns the folder to put into PATH."""
    folder = base / "bin"
    folder.mkdir(parents=True)
    (folder / "activate").write_text(ACTIVATE)
    (folder / "conda").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{base}" "{channel}" "$@"\n')
    (folder / "conda").chmod(0o755)
    return folder


def main(base: str, channel: str, *words: str) -> None:
    """The command line of `conda`."""
    from rattler.platform import Subdir

    if words == ("--version",):
        print("conda", VERSION)
    elif words[:1] == ("info",):
        print(json.dumps({"conda_prefix": base, "platform": str(Subdir.current())}))
    elif words[:1] == ("config",):
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[:1] == ("clean",):
        pass
    elif "create" in words[:2]:
        file, prefix = (Path(words[words.index(option) + 1]) for option in ("--file", "--prefix"))
        asyncio.run(create(channel, file, prefix, Path(base) / "cache"))
        os._exit(0)  # py-rattler's threads may crash an interpreter that winds up
    else:
        sys.exit(f"this stand-in for conda has no {' '.join(words)}")


async def create(channel: str, file: Path, prefix: Path, cache: Path) -> None:
    """Install what a file asks for into a new prefix."""
    from rattler import Gateway, install, solve

    gateway = Gateway(cache_dir=cache / "repodata")
    records = await solve([channel], _asked(file), gateway=gateway)
    if file.suffix == ".txt":
        pinned = {line.rpartition("/")[2] for line in file.read_text().splitlines()}
        records = [record for record in records if record.file_name in pinned]
    await install(records, target_prefix=prefix, cache_dir=cache / "packages", show_progress=False)


def _asked(file: Path) -> list[str]:
    """Specifications of an environment file, or of each package of a file of pinned ones."""
    if file.suffix == ".txt":
        urls = [line for line in file.read_text().splitlines() if line[:1] not in ("", "#", "@")]
        names = [url.rpartition("/")[2].removesuffix(".tar.bz2").rsplit("-", 2) for url in urls]
        return [f"{name} =={version}" for name, version, _ in names]
    import yaml

    asked = []
    for one in yaml.safe_load(file.read_text())["dependencies"]:
        asked += [spec.replace("==", " ==") for spec in one["pip"]] if isinstance(one, dict) else [one]
    return asked


if __name__ == "__main__":
    main(*sys.argv[1:])
