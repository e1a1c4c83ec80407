"""What jobs read from outside: registry entries of models and data, their sizes, licences and gates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..downloads import Source, entry_of, size_gb
from ..jobs import Job
from ..models import RECORDS
from ..spec import Config

OUTSIDE = ("hub", "folder", "urls")  # keys of data entries that have to be brought here


@dataclass(frozen=True)
class Downloads:
    """`gigabytes` of the entries still to be fetched whose size is known, and what to know about them."""

    gigabytes: float
    unsized: tuple[str, ...]
    licences: tuple[tuple[str, str], ...]  # title and licence
    gates: tuple[str, ...]


def downloads(config: Config, sources: Iterable[Source], records: Path = RECORDS) -> Downloads:
    """Of registry entries, less those that have a record of their download; what several share counts once."""
    missing = [one for one in sorted(set(sources)) if not (records / one[0] / f"{one[1]}.json").exists()]
    entries = [dict(_entry(config, *one), name=one[1]) for one in missing]
    outside = [entry for entry in entries if "source" in entry]
    return Downloads(
        size_gb(outside),
        tuple(dict.fromkeys(entry["name"] for entry in outside if entry.get("size_gb") is None)),
        tuple(dict.fromkeys((entry["title"], entry["license"]) for entry in outside)),
        tuple(dict.fromkeys(entry["gated"] for entry in outside if entry.get("gated"))),
    )


def _entry(config: Config, kind: str, name: str) -> dict:
    """An entry with a `source` where there is something to fetch, by which `size_gb` knows what is the same."""
    if kind == "models":
        entry = dict(config.models.data[name])
        if "path" in entry.get("source", {}):
            del entry["source"]
        return entry
    entry = config.data_entry(name)
    if not any(key in entry for key in OUTSIDE):
        return entry
    where = {key: entry[key] for key in (*OUTSIDE, "files") if key in entry}
    return entry | {"source": where if "files" in where else where | {"name": name}}


def sources_of(job: Job) -> set[Source]:
    """Registry entries whose files a job reads: the records of their downloads are among its inputs."""
    return {entry_of(path) for path in job.input if Path(path).is_relative_to(RECORDS)}
