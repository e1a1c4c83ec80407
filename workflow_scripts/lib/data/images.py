"""Data sets of images: rendered scenes, or files of a folder or an archive, cropped and resized as one."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import UserError
from ..seeds import seed_of
from .prompts import has_words, read_lines, strip_flags

Shape = tuple[int, ...]
"""Height and width in pixels; of clips, frames, height and width."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class Item:
    """One image (H, W, 3), or clip (F, H, W, 3), uint8; `k` 0 is preferred to `k` 1 where a data set holds pairs."""

    prompt_id: int
    k: int
    prompt: str
    image: np.ndarray


def read_dataset(source: dict, count: int, shape: Shape, seed: int, data_folder: Path) -> Iterator[Item]:
    """`count` images (or pairs), or clips, of a data set in a shape; UserError if there are fewer or one is damaged.

    With `containing` only images are taken whose caption holds one of these words.
    """
    if (len(shape) == 3) != (source["kind"] == "videos") and source["kind"] != "world":
        wanted, given = ("clips", "images") if len(shape) == 3 else ("images", "clips")
        raise UserError(f"data set '{source['name']}' has {given}, but the generator makes {wanted}; name another one")
    if source["kind"] == "world":
        yield from _world(source, count, shape, seed)
    elif source["kind"] == "videos":
        yield from _videos(source, count, shape, data_folder)
    elif source["kind"] == "folder":
        yield from _folder(Path(source["path"]), count, shape)
    else:
        yield from _hub(source, count, shape, data_folder / source["hub"])


def _world(source: dict, count: int, shape: Shape, seed: int) -> Iterator[Item]:
    from ..world.clips import render_clip
    from ..world.preferences import preferred_pair
    from ..world.prompts import draw_scenes
    from ..world.render import render, to_uint8

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
        if len(shape) == 3:
            images = [render_clip(scene, shape[0], rng)]
        else:
            images = preferred_pair(scene, rng) if source["quality"] == "pairs" else [render(scene, rng)]
        for k, image in enumerate(images):
            yield Item(i, k, scene.caption(), to_uint8(image))


def _videos(source: dict, count: int, shape: Shape, data_folder: Path) -> Iterator[Item]:
    from .videos import read_clip, videos_of

    done = 0
    for name, file in islice(videos_of(source, data_folder), count):
        yield Item(done, 0, "", read_clip(file, shape[0], shape[1:], source["seconds"], name))
        done += 1
    _enough(done, count, Path(source.get("path") or data_folder / source["hub"]))


def _folder(folder: Path, count: int, shape: Shape) -> Iterator[Item]:
    if not folder.is_dir():
        raise UserError(
            f"the image folder {folder} does not exist; make it and put images in, "
            "or correct `path` in config/data.yaml"
        )
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    _enough(len(paths), count, folder)
    for i, path in enumerate(paths[:count]):
        yield Item(i, 0, "", open_image(path.read_bytes(), shape, str(path)))


def _hub(source: dict, count: int, shape: Shape, folder: Path) -> Iterator[Item]:
    """Images of archives, in their order, with their captions where the source has some."""
    archives = [folder / name for name in source["files"]]
    captions = _captions(source, folder, archives) if "captions" in source else None
    found = (
        (name, file)
        for path in archives
        for name, file in _members(path)
        if captions is None or Path(name).stem in captions
    )
    done = 0
    for name, file in islice(found, count):
        prompt = "" if captions is None else captions[Path(name).stem]
        yield Item(done, 0, prompt, open_image(file.read(), shape, name))
        done += 1
    _enough(done, count, folder)


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and opened file of every image of an archive."""
    if not path.exists():
        raise UserError(f"{path} is missing; fetch the data set first: see docs/data.md")
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES:
                yield f"{path}:{member.name}", archive.extractfile(member)


def _captions(source: dict, folder: Path, archives: list[Path]) -> dict[str, str]:
    """Caption of each image of the archives by its name without folder and suffix, of those that `containing` allows.

    The annotations are those of millions of images, so only what the archives hold is kept.
    """
    names = {Path(name).stem for path in archives for name, _ in _members(path)}
    about, words, captions = source["captions"], source.get("containing", []), {}
    for line in read_lines(folder / about["file"]):
        annotation = json.loads(line)
        if (name := Path(annotation[about["image_field"]]).stem) in names:
            caption = strip_flags(annotation[about["prompt_field"]])
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
    """Decode, resize to cover the shape, crop the centre: (height, width, 3) uint8. UserError if damaged."""
    import io

    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return np.asarray(
                ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), shape[::-1], Image.Resampling.BICUBIC)
            )
    except Exception as error:  # Pillow's plugins raise many kinds
        raise UserError(f"{name} cannot be read as an image ({error}); remove or replace it") from error
