"""Pairs of images of the same prompts from two collections, under names that do not tell whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..metrics.selection import selected_keys
from ..provenance import fingerprint
from ..shards import Collection
from ..spec.studies import Question
from .key import Image, Key, Pair, Side

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """Where the images of a policy come from; `rewards` as score_rewards writes them, except for `first`."""

    side: Side
    parts: Sequence[Path]
    rewards: pd.DataFrame | None = None


@dataclass(frozen=True)
class _Sample:
    key: str
    pair: str
    prompt: str
    data: bytes
    sha256: str


def make_pairs(
    study: str, scale: str, questions: Sequence[Question], a: Source, b: Source, num_prompts: int
) -> tuple[Key, dict[str, bytes]]:
    """The key of a study, and the WebP-lossless bytes of every image by its name on the page.

    Prompts are spread evenly over the collections. UserError when the collections have other prompts.
    """
    samples = [list(_samples(source, num_prompts)) for source in (a, b)]
    couples = list(zip(*samples, strict=True))
    for ours, theirs in couples:
        _require_same_prompt(ours, theirs, a, b)
    made_of = fingerprint(
        study=study,
        policies=[vars(a.side), vars(b.side)],
        questions=[(question.name, question.text) for question in questions],
        pairs=[(one.pair, one.prompt, one.sha256, other.sha256) for one, other in couples],
    )
    pairs = [Pair(one.pair, one.prompt, *_images(made_of, one, other)) for one, other in couples]
    encoded = {
        image.name: sample.data
        for pair, couple in zip(pairs, couples, strict=True)
        for image, sample in zip((pair.a, pair.b), couple, strict=True)
    }
    return Key(study, scale, made_of, a.side, b.side, list(questions), pairs), encoded


def _samples(source: Source, num_prompts: int) -> Iterator[_Sample]:
    collection = Collection(source.parts)
    keys = selected_keys(source.side.selection, collection, source.rewards, num_prompts)
    for row, data in collection.encoded(keys):
        encoded = bytes(data)
        yield _Sample(row.key, str(row.prompt_id), row.prompt, encoded, hashlib.sha256(encoded).hexdigest())


def _require_same_prompt(ours: _Sample, theirs: _Sample, a: Source, b: Source) -> None:
    if ours.prompt != theirs.prompt:
        raise UserError(
            f"prompt {ours.pair} is '{ours.prompt}' among the images of '{a.side.title}', but '{theirs.prompt}' among "
            f"those of '{b.side.title}'; give collections of one prompt set"
        )


def _images(made_of: str, a: _Sample, b: _Sample) -> tuple[Image, Image]:
    """Names from what the images show: nobody can tell from a name whose image it is, and equal images differ."""
    twin = a.sha256 == b.sha256
    first, second = (fingerprint(study=made_of, pair=one.pair, image=one.sha256) for one in (a, b))
    # a letter in front: spreadsheets take digits for a number, and 12e4 too
    return Image(f"i{first}", a.key), Image(f"i{fingerprint(twin=second) if twin else second}", b.key)
