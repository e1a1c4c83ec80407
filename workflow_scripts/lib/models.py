"""Where a registered model lies on this machine: its folder, present, complete and unchanged."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from .errors import UserError
from .files import checksum, read_json

ROOT = Path(__file__).resolve().parents[2]
DOWNLOADS = Path("resources/downloads")  # files of url sources, relative to the repository root
RECORDS = Path("results/downloads")  # what was fetched, a file for each registry entry


def resolve_folder(entry: dict) -> Path:
    """Folder of a registry entry's files; every file listed in `sha256` is verified, once per process.

    A path source lies in the repository or in a folder of this machine, a hub source in the Hugging Face cache, a url
    source in resources/downloads/. UserError for what is missing, with the command that fetches it (nothing is
    downloaded here), and for a checksum that differs.
    """
    folder = _locate(entry)
    for name, expected in (entry.get("sha256") or {}).items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing; {_cure(entry)}")
        if _checksum(path, len(expected)) != expected:
            raise UserError(f"checksum mismatch of {path}; delete it, then {_cure(entry)}")
    return folder


def resolve_weights(entry: dict) -> Path:
    """The one file of an entry whose source is a url or names a single file, else the folder; verified as above."""
    source, folder = entry["source"], resolve_folder(entry)
    files = [Path(source["url"]).name] if "url" in source else source.get("files", [])
    return folder / files[0] if len(files) == 1 and (folder / files[0]).is_file() else folder


def identity(entry: dict) -> dict:
    """What of an entry and its parts decides the results: class, sources, checksums, length of texts; not its title."""
    decisive = ("class", "source", "processor", "vae", "metadata", "sha256", "options")
    own = {key: entry[key] for key in decisive if key in entry}
    text = {key: value for key, value in entry.get("sampling", {}).items() if key == "max_sequence_length"}
    return own | text | {name: identity(part) for name, part in entry.get("parts", {}).items()}


def sourced(entry: dict) -> Iterator[dict]:
    """What of an entry has a source of its own, each as an entry: weights, processor, VAE, metadata; not its parts."""
    if "source" in entry:
        yield entry
    yield from (part_of(entry, key) for key in ("processor", "vae", "metadata") if entry.get(key))


def part_of(entry: dict, key: str) -> dict:
    """The processor, VAE or metadata of an entry as an entry of its name."""
    own = {"source": entry[key]} if key == "processor" else entry[key]
    return {"name": entry["name"], **own} if "name" in entry else own


def resolve_processor(entry: dict) -> Path | None:
    """Folder of the tokenizer and image processor, where the entry says they do not lie beside the weights."""
    return resolve_folder(part_of(entry, "processor")) if entry.get("processor") else None


def url_folder(url: str) -> Path:
    """Folder of the file of a url source."""
    return ROOT / DOWNLOADS / Path(url).stem


def recorded(kind: str, name: str | None, **source: str) -> dict:
    """What the record of an entry (of `models` or `data`) says of a source; nothing before its first download."""
    path = RECORDS / kind / f"{name}.json"
    sources = read_json(path)["sources"] if name and path.is_file() else []
    return next((one for one in sources if source.items() <= one.items()), {})


def recorded_commit(kind: str, name: str | None, source: dict) -> str | None:
    """What a revision that is a branch was when it was first fetched; later fetches and all jobs keep to that commit.

    None for a revision that is a commit, and before the first download.
    """
    if re.fullmatch("[0-9a-f]{40}", source["revision"]):
        return None
    return recorded(kind, name, hub=source["hub"], revision=source["revision"]).get("commit")


def patterns(source: dict) -> list[str]:
    """Patterns of the wanted files of a hub source within the repository; none means all."""
    folder = source.get("subfolder")
    return [f"{folder}/{one}" for one in source.get("files", ["*"])] if folder else source.get("files", [])


def local_snapshot(repository: str, revision: str, wanted: Sequence[str]) -> Path | None:
    """Folder with all wanted files (patterns; none: all) of a hub model in the cache; None unless all are there.

    Nothing is asked of the hub. The hub's own list of files, where a download has left it, says what belongs to all;
    without it, every pattern and every index of weights must find its files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            repository, revision=revision, allow_patterns=list(wanted) or None, local_files_only=True
        )
    except LocalEntryNotFoundError:  # also a snapshot that is not whole
        return None
    return Path(found) if complete(Path(found), wanted) else None


def complete(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether each pattern finds a file, and all the weights are there that an index among them lists."""
    found = [[path for path in folder.glob(pattern) if path.is_file()] for pattern in wanted or ["**/*"]]
    indices = {path for paths in found for path in paths if path.name.endswith(".safetensors.index.json")}
    return all(found) and all((index.parent / name).is_file() for index in indices for name in _listed(index))


def _listed(index: Path) -> set[str]:
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())


def _locate(entry: dict) -> Path:
    source = entry["source"]
    if "hub" in source:
        revision = recorded_commit("models", entry.get("name"), source) or source["revision"]
        snapshot = local_snapshot(source["hub"], revision, patterns(source))
        if snapshot is None:
            raise UserError(f"model {source['hub']} is not on this machine; {_cure(entry)}")
        return snapshot / source.get("subfolder", "")
    folder = ROOT / source["path"] if "path" in source else url_folder(source["url"])
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; {_cure(entry)}")
    return folder


def _cure(entry: dict) -> str:
    if (path := entry["source"].get("path")) is not None:
        at_home = not Path(path).is_absolute()
        restore = f"restore it with: git checkout -- {shlex.quote(path)}"
        return restore if at_home else "put it there or correct `path` in config/models.yaml"
    return f"get it with: {fetch_command('models', entry['name'])}"


def fetch_command(kind: str, name: str) -> str:
    """The command that fetches a registry entry of `models` or `data` again."""
    return f"HF_HUB_OFFLINE=0 snakemake --force results/downloads/{kind}/{name}.json"


@cache
def _checksum(path: Path, digits: int) -> str:
    return checksum(path, digits)
