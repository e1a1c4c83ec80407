"""Image sheets: a row per prompt, a column per policy and selection; `first` shows the same seed in every column.

Columns of one base model are a block; blocks stand below each other.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..metrics.selection import selected_keys

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

DPI = 200
GAP = 8  # pixels between images
LABEL = 330  # pixels for the prompts
TITLES = 80  # pixels for the titles, two lines
PROMPT_CHARACTERS = 24
TITLE_CHARACTERS_PER_PIXEL = 0.071


@dataclass(frozen=True)
class SheetColumn:
    """One column: its title, the prompts, and an image (H, W, 3), or clip (F, H, W, 3), uint8 for each."""

    title: str
    prompts: Sequence[str]
    images: Sequence[np.ndarray]


def read_column(
    title: str, selection: str, parts: Sequence[Path], rewards: pd.DataFrame | None, show: int
) -> SheetColumn:
    """The selected images of `show` prompts, spread evenly over a collection."""
    from ..shards import Collection

    collection = Collection(parts)
    found = list(collection.images(selected_keys(selection, collection, rewards, show)))
    return SheetColumn(title, [row.prompt for row, _ in found], [image for _, image in found])


def draw_sheet(blocks: Mapping[str, Sequence[SheetColumn]], cell: int = 256, blur: float = 0) -> Figure:
    """Draw blocks of images that fit into `cell` pixels, blurred by a Gaussian of `blur` pixels (0: not at all).

    UserError when the columns of a block show other prompts than its first.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from .plotting import STYLE

    heights = {base: TITLES + len(_common_prompts(columns)) * (cell + GAP) for base, columns in blocks.items()}
    width = LABEL + max(map(len, blocks.values())) * (cell + GAP)
    with rc_context(STYLE):
        figure = Figure(figsize=(width / DPI, sum(heights.values()) / DPI), dpi=DPI)
        top = 0
        for base, columns in blocks.items():
            _draw_block(figure, base if len(blocks) > 1 else "", columns, top, cell, blur)
            top += heights[base]
    return figure


def _draw_block(figure: Figure, base: str, columns: Sequence[SheetColumn], top: float, cell: int, blur: float) -> None:
    bold = {"va": "bottom", "fontsize": 8, "fontweight": "bold"}
    _text(figure, LABEL - 16, top + TITLES - 10, base, ha="right", **bold)
    for i, column in enumerate(columns):
        left = LABEL + i * (cell + GAP)
        title = textwrap.fill(column.title, int(cell * TITLE_CHARACTERS_PER_PIXEL))
        _text(figure, left + cell / 2, top + TITLES - 10, title, ha="center", **bold)
        for j, image in enumerate(column.images):
            _place(figure, fit(still(image), cell, blur), left, top + TITLES + j * (cell + GAP), cell)
    for j, prompt in enumerate(columns[0].prompts):
        text = textwrap.fill(prompt, PROMPT_CHARACTERS, max_lines=max(1, cell // 26), placeholder=" …")
        middle = top + TITLES + j * (cell + GAP) + cell / 2
        _text(figure, LABEL - 16, middle, text, ha="right", va="center", fontsize=7.5)


def still(image: np.ndarray) -> np.ndarray:
    """An image as it is; of a clip four frames at equal distances, in reading order."""
    if image.ndim == 3:
        return image
    first, second, third, fourth = image[np.linspace(0, len(image) - 1, 4).round().astype(int)]
    return np.concatenate([np.concatenate(pair, axis=1) for pair in ((first, second), (third, fourth))])


def at_frame(blocks: Mapping[str, Sequence[SheetColumn]], frame: int) -> dict[str, list[SheetColumn]]:
    """The same sheet with one frame of every clip."""
    return {
        base: [SheetColumn(one.title, one.prompts, [clip[frame] for clip in one.images]) for one in columns]
        for base, columns in blocks.items()
    }


def animate_sheet(blocks: Mapping[str, Sequence[SheetColumn]], path: Path, fps: float, cell: int, blur: float) -> None:
    """Write a sheet of clips as a GIF in which all clips run at once, over and over."""
    import io

    from PIL import Image

    from ..files import atomic_write

    frames = []
    for frame in range(min(len(clip) for columns in blocks.values() for one in columns for clip in one.images)):
        buffer = io.BytesIO()
        draw_sheet(at_frame(blocks, frame), cell, blur).savefig(buffer, format="png")
        frames.append(Image.open(buffer).convert("RGB"))
    with atomic_write(path) as temporary:
        frames[0].save(temporary, "GIF", save_all=True, append_images=frames[1:], duration=1000 / fps, loop=0)


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


def _place(figure: Figure, image: np.ndarray, left: float, top: float, cell: int) -> None:
    """Put an image, pixel for pixel, into the middle of a cell; coordinates in pixels from the upper left corner."""
    (width, height), (h, w) = figure.get_size_inches() * DPI, image.shape[:2]
    left, top = left + (cell - w) // 2, top + (cell - h) // 2
    ax = figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))
    ax.imshow(image, interpolation="none", aspect="auto")
    ax.set_axis_off()


def _text(figure: Figure, x: float, y: float, text: str, **style) -> None:
    """Write a text as it is: a prompt with dollar signs is no formula."""
    width, height = figure.get_size_inches() * DPI
    figure.text(x / width, 1 - y / height, text, linespacing=1.25, parse_math=False, **style)
