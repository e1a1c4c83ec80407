"""Data sets of images: rendered scenes, or files of a folder or an archive, cropped and resized as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from ..seeds import seed_of
from .archives import SUFFIXES, ArchivedFile, fetched, image_files
from .prompts import has_words, read_fields, read_lines, strip_flags

if TYPE_CHECKING:
    from ..world.scenes import Scene

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""What is decoded, whatever a file's name says: others of Pillow's readers start programs (EPS)."""
Shape = tuple[int, ...]
"""Height and width in pixels; of clips, frames, height and width."""


@dataclass(frozen=True)
class Item:
    """One image (H, W, 3), or clip (F, H, W, 3), uint8; `k` 0 is preferred to `k` 1 where a data set holds pairs."""

    prompt_id: int
    k: int
    prompt: str
    image: np.ndarray


def read_dataset(
    source: dict, count: int, shape: Shape, seed: int, data_folder: Path, start: int = 0
) -> Iterator[Item]:
    """`count` images (or pairs), or clips, of a data set in a shape; UserError if there are fewer or one is damaged.

    With `containing` only images are taken whose caption holds one of these words. The first `start` images are passed
    over; of files they are not decoded.
    """
    if (len(shape) == 3) != (source["kind"] == "videos") and source["kind"] != "world":
        wanted, given = ("clips", "images") if len(shape) == 3 else ("images", "clips")
        raise UserError(f"data set '{source['name']}' has {given}, but the generator makes {wanted}; name another one")
    if source["kind"] == "world":
        yield from islice(_world(source, count, shape, seed), start, None)
    elif source["kind"] == "videos":
        yield from _videos(source, count, shape, data_folder, start)
    elif source["kind"] == "folder":
        yield from _folder(Path(source["path"]), count, shape, start)
    else:
        yield from _archives(source, count, shape, fetched(source, data_folder), start)


def _world(source: dict, count: int, shape: Shape, seed: int) -> Iterator[Item]:
    from ..world.prompts import draw_scenes
    from ..world.render import to_uint8

    words = source.get("containing", [])
    scenes = draw_scenes(
        source["split"],
        count,
        seed,
        style=source["style"],
        wanted=lambda scene: has_words(scene.caption(), words),
    )
    for i, scene in enumerate(scenes):
        rng = np.random.default_rng(seed_of("world", seed, source["split"], source["quality"], i))
        for k, image in enumerate(_pictures(scene, source["quality"], shape, rng)):
            yield Item(i, k, scene.caption(), to_uint8(image))


def _pictures(scene: Scene, quality: str, shape: Shape, rng: np.random.Generator) -> Sequence[np.ndarray]:
    """One picture or clip of a scene, or two pictures where a data set holds pairs."""
    from ..world.preferences import preferred_pair
    from ..world.render import render
    from ..world.videos import render_clip

    if len(shape) == 3:
        return [render_clip(scene, shape[0], rng)]
    return preferred_pair(scene, rng) if quality == "pairs" else [render(scene, rng)]


def _videos(source: dict, count: int, shape: Shape, data_folder: Path, start: int) -> Iterator[Item]:
    from .videos import read_clip, videos_of

    done = start
    for name, file in islice(videos_of(source, data_folder), start, count):
        yield Item(done, 0, "", read_clip(file, shape[0], shape[1:], source["seconds"], name))
        done += 1
    _enough(done, count, Path(source["path"]) if "path" in source else fetched(source, data_folder))


def contents(source: dict) -> list[tuple[str, int, int]] | None:
    """Name, size and time of every file of a user's folder, which may change under the same name; None without one."""
    if "path" not in source:
        return None
    files = sorted(path for path in Path(source["path"]).rglob("*") if path.is_file())
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]


def _folder(folder: Path, count: int, shape: Shape, start: int) -> Iterator[Item]:
    if not folder.is_dir():
        raise UserError(
            f"the image folder {folder} does not exist; make it and put images in, "
            "or correct `path` in config/data.yaml"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    _enough(len(paths), count, folder)
    for i, path in enumerate(paths[start:count], start):
        yield Item(i, 0, _caption_beside(path), open_image(path.read_bytes(), shape, str(path)))


def _caption_beside(path: Path) -> str:
    """What a text file of an image's name says, if there is one: `frog.txt` of `frog.png`."""
    text = path.with_suffix(".txt")
    return " ".join(chain.from_iterable(map(str.split, read_lines(text)))) if text.is_file() else ""


def _archives(source: dict, count: int, shape: Shape, folder: Path, start: int) -> Iterator[Item]:
    """Images of archives, in their order, with their captions where the source has some."""
    captions = _captions(source, folder) if "captions" in source else None
    found = (
        (name, read) for name, read in archive_files(source, folder) if captions is None or Path(name).stem in captions
    )
    done = start
    for done, (name, read) in enumerate(islice(found, start, count), start + 1):
        prompt = "" if captions is None else captions[Path(name).stem]
        yield Item(done - 1, 0, prompt, open_image(read(), shape, f"{folder}: {name}"))
    _enough(done, count, folder)


def archive_files(source: dict, folder: Path) -> Iterator[ArchivedFile]:
    """Images of all archives of a data set, in their order, those that its `pattern` matches."""
    options = {name: source[name] for name in ("pattern", "column") if name in source}
    return chain.from_iterable(image_files(folder / name, **options) for name in source["files"])


def _captions(source: dict, folder: Path) -> dict[str, str]:
    """Caption of each image of the archives by its name without folder and suffix, of those that `containing` allows.

    The annotations are those of millions of images, so only what the archives hold is kept.
    """
    names = {Path(name).stem for name, _ in archive_files(source, folder)}
    about, words, captions = source["captions"], source.get("containing", []), {}
    for image, prompt in read_fields(folder / about["file"], about["image_field"], about["prompt_field"]):
        if (name := Path(image).stem) in names:
            caption = strip_flags(prompt)
            if caption and has_words(caption, words):
                captions[name] = caption
    return captions


def _enough(found: int, wanted: int, place: Path) -> None:
    if found < wanted:
        what = "is empty" if not found else f"holds {found} images"
        raise UserError(
            f"{place} {what}, {wanted} are asked for; "
            "add images or lower `images` (and num_proxies) in the scale's file"
        )


def open_image(data: bytes, shape: Shape, name: str) -> np.ndarray:
    """Decode, resize to cover the shape, crop the centre: (height, width, 3) uint8. UserError if damaged or too large.

    Pillow refuses more than 179 million pixels before it decodes them.
    """
    import io

    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return np.asarray(
                ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), shape[::-1], Image.Resampling.BICUBIC)
            )
    except Exception as error:  # Pillow's plugins raise many kinds
        raise UserError(f"{name} cannot be read as an image ({error}); remove or replace it") from error
