"""Reference images of given prompts: renderings of captions, or images that archives hold of each prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..files import read_json
from ..seeds import seed_of
from .archives import fetched
from .images import Item, Shape, archive_files, open_image

if TYPE_CHECKING:
    import pandas as pd


def read_references(
    source: dict, prompts: pd.DataFrame, count: int, shape: Shape, seed: int, data_folder: Path, start: int = 0
) -> Iterator[Item]:
    """`count` images (height, width) of every prompt of a set (prompt_id, prompt), numbered by `k`.

    The first `start` are passed over; those of archives are not decoded. UserError when a data set has too few of a
    prompt, or is of a kind that has no images of given prompts.
    """
    if source["kind"] not in (readers := {"world_renderings": _rendered, "prompt_archives": _of_archives}):
        said = f"data set '{source['name']}' is of kind {source['kind']}, which has no images of given prompts"
        raise UserError(f"{said}; name one of kind {' or '.join(readers)}")
    yield from readers[source["kind"]](source, prompts, count, shape, seed, data_folder, start)


def _rendered(
    source: dict, prompts: pd.DataFrame, count: int, shape: Shape, seed: int, _: Path, start: int
) -> Iterator[Item]:
    """Crisp renderings in the style of the data set, whatever style the caption names; an open place is drawn anew."""
    from ..world.render import render, to_uint8
    from ..world.scenes import scene_of
    from ..world.vocabulary import IMAGE_SIZE

    if shape != (IMAGE_SIZE, IMAGE_SIZE):
        raise UserError(f"scenes are rendered as images of {IMAGE_SIZE} x {IMAGE_SIZE}, the generator's are {shape}")
    for row, k in islice(product(prompts.itertuples(), range(count)), start, None):
        scene = replace(scene_of(row.prompt), style=source["style"])
        rng = np.random.default_rng(seed_of("references", seed, row.prompt, k))
        yield Item(row.prompt_id, k, row.prompt, to_uint8(render(scene, rng)))


def _of_archives(
    source: dict, prompts: pd.DataFrame, count: int, shape: Shape, _: int, data_folder: Path, start: int
) -> Iterator[Item]:
    """In the order of the archives, which are read once."""
    folder = fetched(source, data_folder)
    wanted = _wanted(folder / source["images_of_prompts"], prompts, count)
    left_to_pass = start
    for name, read in archive_files(source, folder):
        if (place := wanted.pop(Path(name).name, None)) is None:
            continue
        if left_to_pass:
            left_to_pass -= 1
        else:
            yield Item(*place, open_image(read(), shape, f"{folder}: {name}"))
    if wanted:
        name, (_, _, prompt) = next(iter(wanted.items()))
        raise UserError(f"{folder} lacks {len(wanted)} images, such as {name} of prompt '{prompt}'; fetch it again")


def _wanted(listing: Path, prompts: pd.DataFrame, count: int) -> dict[str, tuple[int, int, str]]:
    """(prompt_id, k, prompt) by the name of the image, without folders."""
    if not listing.exists():
        raise UserError(f"{listing} is missing; fetch the data set first: see docs/data.md")
    images = read_json(listing)
    found = {}
    for row in prompts.itertuples():
        names = images.get(row.prompt, [])
        if len(names) < count:
            raise UserError(
                f"{listing} lists {len(names)} images of '{row.prompt}', {count} are asked for; "
                "lower `per_prompt` in the scale's file"
            )
        for k, name in enumerate(names[:count]):
            if Path(name).name in found:
                raise UserError(f"{listing} lists two images {Path(name).name}; images are told apart by name alone")
            found[Path(name).name] = (row.prompt_id, k, row.prompt)
    return found
