"""Images of a data set into shards: each is committed, so that a killed import goes on after the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, count, islice, takewhile
from pathlib import Path
from typing import Any

from ..progress import progress
from ..shards import ImageRecord, ShardWriter, committed, key_of, write_part
from .images import Item


def import_part(
    read: Callable[..., Iterator[Item]], total: int, per_shard: int, seed: int, out: Path, made_of: str, **about: Any
) -> None:
    """Write the images that `read(start=n)` gives from the n-th on, `total` of them, then `out`, which lists them."""

    def name(number: int) -> str:
        return f"{out.stem}-shard{number:05d}"

    shards = list(takewhile(bool, (committed(out.parent, name(number), made_of) for number in count())))
    done = sum(shard["images"] for shard in shards)
    items = progress(read(start=done), total, "images", done)
    for first in items:
        with ShardWriter(out.parent, name(len(shards)), made_of) as writer:
            for item in chain([first], islice(items, per_shard - 1)):
                key = key_of(item.prompt_id, item.k)
                writer.add(ImageRecord(key, item.image, item.prompt_id, item.k, item.prompt, seed))
            shards.append(writer.commit())
    write_part(out, shards, made_of, **about)
