"""Image sheets: a row per prompt, a column per policy and selection; `first` shows the same seed in every column."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ..shards import Collection

DPI = 200
GAP = 8  # pixels between images
LABEL = 330  # pixels for the prompts
TITLES = 80  # pixels for the titles, two lines
PROMPT_CHARACTERS = 24
TITLE_CHARACTERS_PER_PIXEL = 0.071


@dataclass(frozen=True)
class SheetColumn:
    """One column: its title, the prompts, and an image (H, W, 3) uint8 for each."""

    title: str
    prompts: Sequence[str]
    images: Sequence[np.ndarray]


def read_column(
    title: str, selection: str, parts: Sequence[Path], rewards: "pd.DataFrame | None", prompt_ids: Sequence[int]
) -> SheetColumn:
    """The selected images of some prompts from a collection."""
    from ..shards import Collection

    collection = Collection(parts)
    keys = selected_keys(f"column '{title}'", selection, collection, rewards, prompt_ids)
    found = list(collection.images(keys))
    return SheetColumn(title, [row.prompt for row, _ in found], [image for _, image in found])


def selected_keys(
    said: str, selection: str, collection: "Collection", rewards: "pd.DataFrame | None", prompt_ids: Sequence[int]
) -> list[str]:
    """Keys of the selected images of some prompts, ascending; `said` names the collection in a UserError."""
    from ..metrics.selection import choose

    pool = collection.index() if rewards is None else rewards
    pool = pool[pool["prompt_id"].isin(prompt_ids)]
    if missing := sorted(set(prompt_ids) - set(pool["prompt_id"])):
        raise UserError(f"{said} has no images of prompt {missing[0]}; choose among the prompts of its collection")
    return choose(pool, selection)


def spread(prompt_ids: Sequence[int], count: int) -> list[int]:
    """`count` prompts spread evenly over all, ascending: a fixed rule, so that nobody picks the pretty ones."""
    distinct = sorted(set(map(int, prompt_ids)))
    if count > len(distinct):
        raise UserError(f"{count} prompts asked for, the collection has {len(distinct)}")
    return [distinct[i * len(distinct) // count] for i in range(count)]


def draw_sheet(columns: Sequence[SheetColumn], cell: int = 256, blur: float = 0) -> "Figure":
    """Draw a sheet of images that fit into `cell` pixels, blurred by a Gaussian of `blur` pixels (0: not at all).

    UserError when the columns show other prompts than the first.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from .figures import STYLE

    prompts = _common_prompts(columns)
    width, height = LABEL + len(columns) * (cell + GAP), TITLES + len(prompts) * (cell + GAP)
    with rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        for i, column in enumerate(columns):
            left = LABEL + i * (cell + GAP)
            title = textwrap.fill(column.title, int(cell * TITLE_CHARACTERS_PER_PIXEL))
            _text(figure, left + cell / 2, TITLES - 10, title, ha="center", va="bottom", fontsize=8, fontweight="bold")
            for j, image in enumerate(column.images):
                _place(figure, fit(image, cell, blur), left, TITLES + j * (cell + GAP), cell)
        for j, prompt in enumerate(prompts):
            text = textwrap.fill(prompt, PROMPT_CHARACTERS, max_lines=max(1, cell // 26), placeholder=" …")
            _text(figure, LABEL - 16, TITLES + j * (cell + GAP) + cell / 2, text, ha="right", va="center", fontsize=7.5)
    return figure


def fit(image: np.ndarray, cell: int, blur: float = 0) -> np.ndarray:
    """The image in at most `cell` pixels a side: small ones enlarged by a whole factor, large ones reduced."""
    from PIL import Image, ImageFilter

    factor = cell // max(image.shape[:2])
    if factor:
        fitted = Image.fromarray(image.repeat(factor, axis=0).repeat(factor, axis=1))
    else:
        fitted = Image.fromarray(image)
        fitted.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    return np.asarray(fitted.filter(ImageFilter.GaussianBlur(blur)) if blur else fitted)


def _common_prompts(columns: Sequence[SheetColumn]) -> Sequence[str]:
    first, *others = columns
    for column in others:
        for expected, prompt in zip(first.prompts, column.prompts, strict=True):
            if prompt != expected:
                raise UserError(
                    f"column '{column.title}' shows '{prompt}' where '{first.title}' shows '{expected}'; "
                    f"give collections of one prompt set"
                )
    return first.prompts


def _place(figure: "Figure", image: np.ndarray, left: float, top: float, cell: int) -> None:
    """Put an image, pixel for pixel, into the middle of a cell; coordinates in pixels from the upper left corner."""
    (width, height), (h, w) = figure.get_size_inches() * DPI, image.shape[:2]
    left, top = left + (cell - w) // 2, top + (cell - h) // 2
    ax = figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))
    ax.imshow(image, interpolation="none", aspect="auto")
    ax.set_axis_off()


def _text(figure: "Figure", x: float, y: float, text: str, **style) -> None:
    width, height = figure.get_size_inches() * DPI
    figure.text(x / width, 1 - y / height, text, linespacing=1.25, **style)
