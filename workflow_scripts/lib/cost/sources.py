"""What jobs read from outside: registry entries of models and data, their sizes, licences and gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..downloads import size_gb, with_parts
from ..spec import Config, parse_policy
from .jobs import Job

RECORDS = Path("results/downloads")  # a record for each entry that has been fetched
OUTSIDE = ("hub", "folder", "urls")  # keys of data entries that have to be brought here
Source = tuple[str, str]
"""Kind (models or data) and name of a registry entry."""


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


def sources_of(job: Job, config: Config) -> set[Source]:
    """Registry entries that a job loads, with the pipelines that models are based on and their parts."""
    models = {name for role in _roles(job, config) for name in with_parts(config, role)}
    return {("models", name) for name in models} | {("data", name) for name in _data(job, config)}


def _roles(job: Job, config: Config) -> Iterator[str]:
    """Registry names of the models of a job."""
    scale, wildcards = config.scale(job.wildcards.get("scale", "")), job.wildcards
    if job.rule in ("encode_images", "score_images"):
        yield scale.models[wildcards["encoder" if job.rule == "encode_images" else "scorer"]]
    elif job.gpus and "policy" in wildcards and job.rule != "evaluate_vbench":
        yield scale.models[config.base_model(wildcards["policy"], wildcards["scale"])]
    if job.rule == "train_grpo":
        run = config.run(parse_policy(wildcards["policy"]).name, wildcards["scale"])
        learner = config.discriminator(run["discriminator"], wildcards["scale"]) if run["discriminator"] else {}
        roles = [*run["rewards"], *run["watch"], *([learner["model"]] if learner else [])]
        yield from (scale.models[role] for role in roles if role in scale.models)


def _data(job: Job, config: Config) -> Iterator[str]:
    """Registry names of the data sets of a job."""
    if job.rule == "make_prompts":
        yield config.scale(job.wildcards["scale"]).prompt_source(job.wildcards["prompt_set"])
    elif job.rule == "import_images":
        yield config.scale(job.wildcards["scale"]).data[job.wildcards["dataset"]]
