"""What is downloaded before a run: the commands that fetch the models of a scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .models import download_command, sources

if TYPE_CHECKING:
    from .spec import Config


def fetch_script(config: Config, scale: str, roles: Sequence[str] = ()) -> str:
    """A shell script that fetches the models of some roles of a scale, of all without any; it may be run again.

    Its first line gives the size, then come the terms to accept. UserError for a role that the scale does not have.
    """
    wanted = roles or config.scale(scale).models
    entries = [one for role in wanted for one in _with_parts(config, config.model(role, scale))]
    fetched = (source for entry in entries for source in sources(entry) if "path" not in source)
    terms = (f"# {one['title']}: accept the terms at {one['gated']}" for one in entries if one.get("gated"))
    lines = [
        f"# {size_gb(entries):.0f} GB",
        *dict.fromkeys(terms),
        "set -e",
        f'export HF_HUB_CACHE="${{HF_HUB_CACHE:-{config.settings["models_folder"]}}}"',
        *dict.fromkeys(map(download_command, fetched)),
    ]
    return "\n".join(lines)


def size_gb(entries: Sequence[dict]) -> float:
    """Gigabytes of registry entries; those of one source count once."""
    return sum({str(one["source"]): one.get("size_gb", 0) for one in entries if "source" in one}.values())


def _with_parts(config: Config, entry: dict) -> Iterator[dict]:
    """An entry, the pipeline that it is based on, and its parts."""
    yield entry
    if "base" in entry:
        yield from _with_parts(config, config.model_entry(entry["base"]))
    for part in entry.get("parts", {}).values():
        yield from _with_parts(config, part)
