"""What is fetched for a registry entry before a run, and the check that all of it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError
from .hub import HubFiles, offline
from .models import patterns, recorded, recorded_commit, sourced, url_folder
from .web import UrlFile

if TYPE_CHECKING:
    from .spec import Config

Download = HubFiles | UrlFile
Source = tuple[str, str]
"""Kind (models or data) and name of a registry entry."""


def entry_of(record: str) -> Source:
    """`results/downloads/models/sd15.json` -> ("models", "sd15")."""
    return Path(record).parent.name, Path(record).stem


def downloads_of_model(entry: dict) -> list[Download]:
    """What is fetched for an entry of models.yaml alone; nothing for what lies in a folder. See `with_parts`."""
    found = (_download_of(one) for one in sourced(entry))
    return [one for one in found if one is not None]


def _download_of(entry: dict) -> Download | None:
    source = entry["source"]
    if "hub" in source:
        return _files("models", entry, source, patterns(source))
    if "url" in source:
        path = url_folder(source["url"]) / Path(source["url"]).name
        return _file("models", entry, source["url"], path, (entry.get("sha256") or {}).get(path.name))
    return None


def _files(kind: str, entry: dict, source: dict, wanted: Iterable[str], folder: Path | None = None) -> HubFiles:
    commit = recorded_commit(kind, entry.get("name"), source)
    return HubFiles(source["hub"], source["revision"], tuple(wanted), folder, entry.get("gated"), commit)


def _file(kind: str, entry: dict, url: str, path: Path, sha256: str | None) -> UrlFile:
    first = recorded(kind, entry.get("name"), url=url).get("files", {}).get(path.name, {})
    return UrlFile(url, path, sha256, first.get("sha256"))


def downloads_of_data(entry: dict, data_folder: Path) -> list[Download]:
    """What is fetched for an entry of data.yaml: from the hub, from urls, or nothing."""
    if "hub" in entry:
        return [_files("data", entry, entry, dict.fromkeys(files_of_data(entry)), data_folder / entry["hub"])]
    return [
        _file("data", entry, one["url"], data_folder / entry["folder"] / name, one.get("sha256"))
        for name, one in entry.get("urls", {}).items()
    ]


def files_of_data(entry: dict) -> Iterator[str]:
    """Files that the steps read of a data set: archives, captions, lists of prompts."""
    yield from entry.get("files", [])
    yield from (entry[key] for key in ("images_of_prompts",) if key in entry)
    yield from ([entry["captions"]["file"]] if "captions" in entry else [])
    for key in ("annotations", "paths"):
        yield from entry.get(key, {}).values()


def with_parts(config: Config, name: str) -> Iterator[str]:
    """Names of a model's entry, of the pipeline that it is based on, and of its parts."""
    yield name
    entry = config.models.data[name]
    for one in (entry.get("base"), *entry.get("parts", {}).values()):
        if one:
            yield from with_parts(config, one)


def size_gb(entries: Iterable[dict]) -> float:
    """Gigabytes of registry entries of models or data; what several share counts once, what is not known as nothing."""
    return sum({str(_origin(one)): one.get("size_gb") or 0 for one in entries}.values())


def _origin(entry: dict) -> object:
    return entry.get("source") or [entry.get(key) for key in ("hub", "folder", "name")][: 2 + ("hub" not in entry)]


def fetch(entry: dict, downloads: Sequence[Download]) -> dict:
    """Fetch what is not here, check everything, and say what was fetched. UserError with the cure if it cannot be."""
    if missing := [one for one in downloads if not one.present()]:
        if offline():
            raise UserError(_offline(missing))
        for one in missing:
            print(f"fetching {one.name}", flush=True)
    for one in downloads:
        one.fetch()
    sources = [one.record() for one in downloads]
    about = {key: entry.get(key) for key in ("name", "title", "license", "gated")}
    return about | {"sources": sources, "bytes": sum(_bytes(source) for source in sources)}


def _bytes(record: dict) -> int:
    return sum(file["bytes"] for file in record["files"].values())


def check_downloads(downloads: Iterable[Download], folders: Sequence[Path], problems: Iterable[str] = ()) -> None:
    """Make sure that all can be fetched, before anything runs: one UserError with everything that is in the way.

    Nothing is asked where all is here. Else the hub and the servers are asked for every download: whether its terms
    are accepted, whether the revision and the files exist, and how large they are, against the room in `folders`.
    `problems`: what else is in the way.
    """
    missing, problems, needed = [one for one in dict.fromkeys(downloads) if not one.present()], [*problems], 0
    if missing and offline():
        problems.append(_offline(missing))
        missing = []
    for one in missing:
        try:
            needed += one.missing_bytes()
        except UserError as error:
            problems.append(str(error))
    if problems := [*dict.fromkeys(problems), *_no_room(needed, folders)]:
        raise UserError("\n  ".join(["nothing was started, as not all that is needed can be had:", *problems]))


def _no_room(needed: int, folders: Sequence[Path]) -> list[str]:
    """Downloads may go to several folders; each must have room for all of them, which is the safe side."""
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in folders}
    return [
        f"{needed / 1e9:.1f} GB are to be fetched, {folder} has room for {room / 1e9:.1f} GB; make room, "
        "or change models_folder and data_folder in config/config.yaml"
        for folder, room in free.items()
        if room < needed
    ]


def _existing(folder: Path) -> Path:
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def _offline(missing: Sequence[Download]) -> str:
    names = ", ".join(dict.fromkeys(one.name for one in missing))
    pages = dict.fromkeys(one.page for one in missing if isinstance(one, HubFiles) and one.gated)
    terms = f" Accept the terms at {' and '.join(pages)}, log in with `hf auth login`." if pages else ""
    return (
        f"HF_HUB_OFFLINE=1 forbids downloads, and these are not on this machine: {names}.{terms} Run the same command "
        "with HF_HUB_OFFLINE=0 before it, or bring the files here as docs/data.md says"
    )
