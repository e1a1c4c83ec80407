"""Scales: which registry entry plays a role, how many of everything, and what changes in the recipes."""

from __future__ import annotations

from dataclasses import dataclass, field

from .leaves import lift, plain
from .loading import Document
from .runs import KINDS, Changes

PAPER = "paper"
FEWEST_REPLICATES = 3
"""Of a summary that says whether a claim holds with other seeds."""
EVAL = "eval"
"""The prompt set that metrics are computed on unless they say otherwise."""


@dataclass(frozen=True)
class References:
    """Reference images of the prompts of a set: `per_prompt` of a data set (`data`), or samples of a `model` role."""

    prompts: str
    per_prompt: int
    data: str | None = None
    model: str | None = None


@dataclass(frozen=True)
class Scale:
    """One scale, with plain values; `document` and `changes` know where they stand.

    `images` and `data` have the roles of `references`, too, so that these are images like any other.
    """

    name: str
    description: str
    replicates: list[int]
    device: str
    dtype: str
    compile: bool
    warm_start: bool
    latents: str
    models: dict[str, str]
    data: dict[str, str]
    prompts: dict[str, int]
    images: dict[str, int]
    references: dict[str, References]
    counts: dict[str, int]
    metrics: dict[str, dict]
    document: Document = field(repr=False)
    changes: dict[str, Changes] = field(repr=False)  # by kind of recipe: reward, discriminator, run

    def prompt_source(self, prompt_set: str) -> str:
        """The entry of data.yaml that a prompt set comes from."""
        return self.data.get(prompt_set, self.data["prompts"])

    @property
    def prefix(self) -> str:
        """How the scale stands in paths: `tiny/`, `pilot/`, and nothing for paper scale."""
        return prefix_of(self.name)

    def where(self, *keys: str) -> str:
        """`file:line` of a path of keys."""
        return self.document.where(*keys)


def prefix_of(scale: str) -> str:
    """`tiny` -> `tiny/`; `paper` -> nothing."""
    return "" if scale == PAPER else f"{scale}/"


def scale_of(prefix: str) -> str:
    """The scale of a path's `{scale}` wildcard; a plain name stays as it is."""
    return prefix.rstrip("/") or PAPER


def read_scale(name: str, document: Document) -> Scale:
    """A validated document as a Scale."""
    data = document.data
    metrics = {metric: {"column": metric, "prompts": EVAL, **about} for metric, about in data["metrics"].items()}
    prompts = plain(lift(document, "prompts"))
    references = {role: References(**about) for role, about in plain(lift(document, "references")).items()}
    belonging = {role: one.per_prompt * prompts.get(one.prompts, 0) for role, one in references.items()}
    imported = {role: one.data for role, one in references.items() if one.data}
    return Scale(
        name=name,
        description=data["description"],
        replicates=data["replicates"],
        device=data["device"],
        dtype=data["dtype"],
        compile=data.get("compile", False),
        warm_start=data["warm_start"],
        latents=plain(lift(document, "latents")),
        models=data["models"],
        data=data["data"] | imported,
        prompts=prompts,
        images=plain(lift(document, "images")) | belonging,
        references=references,
        counts=plain(lift(document, "counts")),
        metrics=metrics,
        document=document,
        changes={kind: _changes(document, f"{kind}s") for kind in KINDS},
    )


def _changes(document: Document, kinds: str) -> Changes:
    overrides = lift(document, "overrides")
    return Changes(overrides.get(kinds, {}), overrides.get("named", {}).get(kinds, {}))
