"""Where a registered model lies on this machine: its folder, present, complete and unchanged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from .errors import UserError
from .files import sha256

ROOT = Path(__file__).resolve().parents[2]
DOWNLOADS = Path("resources/downloads")  # files of url sources, relative to the repository root


def resolve_folder(entry: dict, local_files_only: bool = True) -> Path:
    """Folder of a registry entry's files; every file listed in `sha256` is verified, once per process.

    A path source lies in the repository, a hub source in the Hugging Face cache (downloaded now unless
    `local_files_only`), a url source in resources/downloads/. UserError for what is missing, with the command that
    fetches it, and for a checksum that differs.
    """
    source = entry["source"]
    folder = _locate(source, entry.get("gated"), local_files_only)
    for name, expected in (entry.get("sha256") or {}).items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing; {_cure(source)}")
        if _checksum(path) != expected:
            raise UserError(f"checksum mismatch of {path}; delete it, then {_cure(source)}")
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


def sources(entry: dict) -> Iterator[dict]:
    """Everything that is downloaded for an entry and its parts."""
    yield from (entry[key] for key in ("source", "processor") if key in entry)
    yield from (entry[key]["source"] for key in ("vae", "metadata") if key in entry)
    for part in entry.get("parts", {}).values():
        yield from sources(part)


def resolve_processor(entry: dict) -> Path | None:
    """Folder of the tokenizer and image processor, where the entry says they do not lie beside the weights."""
    return resolve_folder({"source": entry["processor"]}) if entry.get("processor") else None


def download_command(source: dict) -> str:
    """The shell command that fetches a hub or url source to where `resolve_folder` looks for it."""
    if "url" in source:
        target = _url_folder(source) / Path(source["url"]).name
        return shlex.join(["curl", "-fL", "--create-dirs", "-o", str(target), source["url"]])
    patterns = [word for pattern in _patterns(source) or [] for word in ("--include", pattern)]
    revision = ["--revision", source["revision"]] if "revision" in source else []
    return shlex.join(["hf", "download", source["hub"], *revision, *patterns])


def _locate(source: dict, gated: str | None, local_files_only: bool) -> Path:
    if "hub" in source:
        return _snapshot(source, gated, local_files_only)
    folder = ROOT / (source["path"] if "path" in source else _url_folder(source))
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; {_cure(source)}")
    return folder


def _snapshot(source: dict, gated: str | None, local_files_only: bool) -> Path:
    """The snapshot folder of a hub repository in the cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot = snapshot_download(
            source["hub"],
            revision=source.get("revision"),
            allow_patterns=_patterns(source),
            local_files_only=local_files_only,
        )
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise UserError(_not_here(source, gated)) from error
    folder = Path(snapshot) / source.get("subfolder", "")
    if not all(any(folder.glob(pattern)) for pattern in source.get("files", [])):  # an older or unfinished download
        raise UserError(_not_here(source, gated))
    return folder


def _not_here(source: dict, gated: str | None) -> str:
    page = gated or f"https://huggingface.co/{source['hub']}"
    terms = f"accept the terms at {page}, hf auth login, then" if gated else f"read its licence at {page}, then"
    return f"model {source['hub']} is not on this machine; {terms} run: {download_command(source)}"


def _patterns(source: dict) -> list[str] | None:
    """Patterns of the wanted files in the hub repository; None means all."""
    folder = source.get("subfolder")
    if not folder:
        return source.get("files")
    return [f"{folder}/{pattern}" for pattern in source.get("files", ["*"])]


def _url_folder(source: dict) -> Path:
    return DOWNLOADS / Path(source["url"]).stem


def _cure(source: dict) -> str:
    if "path" in source:
        return f"restore it with: git checkout -- {shlex.quote(source['path'])}"
    return f"get it with: {download_command(source)}"


@cache
def _checksum(path: Path) -> str:
    return sha256(path)
