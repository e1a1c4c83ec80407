"""The key of a study: which image of a page is whose. It stays with the makers of the study; raters get the page."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files import read_json
from ..spec.studies import Question


class Image(NamedTuple):
    """An image under its opaque name on the page and its key in its collection."""

    name: str
    key: str


@dataclass(frozen=True)
class Pair:
    """Two images of one prompt; `pair` is the prompt's number as text."""

    pair: str
    prompt: str
    a: Image
    b: Image


@dataclass(frozen=True)
class Side:
    """A policy under one selection."""

    title: str
    policy: str
    selection: str


@dataclass(frozen=True)
class Key:
    """All that votes are checked and counted with; `fingerprint` is of policies, questions, prompts and images."""

    study: str
    scale: str
    fingerprint: str
    a: Side
    b: Side
    questions: list[Question]
    pairs: list[Pair]

    def as_json(self) -> dict[str, Any]:
        """The key as JSON-able values."""
        pairs = [{**vars(pair), "a": pair.a._asdict(), "b": pair.b._asdict()} for pair in self.pairs]
        return {**dataclasses.asdict(self), "pairs": pairs}


def read_key(path: str | Path) -> Key:
    """Read the key that make_user_study wrote; UserError for anything else."""
    content = read_json(path)
    try:
        sides = {side: Side(**content[side]) for side in ("a", "b")}
        questions = [Question(**question) for question in content["questions"]]
        pairs = [_pair(**pair) for pair in content["pairs"]]
        return Key(**{**content, **sides, "questions": questions, "pairs": pairs})
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{path} is not the key of a study; make it anew: rm '{path}' && snakemake '{path}'") from None


def _pair(pair: str, prompt: str, a: dict[str, str], b: dict[str, str]) -> Pair:
    return Pair(pair, prompt, Image(**a), Image(**b))
