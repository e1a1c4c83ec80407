"""Prompt sets as Parquet files: prompt_id, prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..errors import UserError
from ..files import read_json
from ..seeds import seed_of
from .archives import fetched, readable, tar_files

if TYPE_CHECKING:
    import pandas as pd

# Midjourney's parameters end a prompt (`… --ar 16:9 --v 5`, the hyphens sometimes one dash); image addresses begin it.
FLAGS = re.compile(r"(?:^|\s)(?:--|—)[a-z].*$", re.IGNORECASE | re.DOTALL)
LINKS = re.compile(r"https?://\S+", re.IGNORECASE)
HALVES = re.compile("[\ud800-\udfff]")  # of characters, as JSON may hold where a prompt was cut off
LONGEST_LINE = 1_000_000  # bytes


def strip_flags(prompt: str) -> str:
    """A prompt without generator flags and links, white space folded."""
    return " ".join(LINKS.sub(" ", FLAGS.sub("", prompt)).split())


def has_words(text: str, words: Sequence[str]) -> bool:
    """Whether a text holds one of these words (or phrases), whatever their case; always, when there are none."""
    return not words or any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in words)


def draw_prompts(source: dict, prompt_set: str, count: int, seed: int, data_folder: Path) -> pd.DataFrame:
    """`count` different prompts of a set, in an order drawn by `seed`; UserError when the source has fewer.

    A set that the source does not name is a draw of another length from the set before a `_`: `train_triple` begins as
    `train` does, `ocr_train_long` as `ocr_train`.
    """
    import pandas as pd

    if source["kind"] == "world_prompts":
        from ..world.prompts import SPLITS, draw_scenes

        splits, kinds = source.get("splits", {}), source.get("kinds")
        split = splits.get(_family(prompt_set, splits)) or _family(prompt_set, SPLITS)
        scenes = draw_scenes(
            split, count, seed, source.get("compounds"), wanted=lambda scene: not kinds or scene.kind in kinds
        )
        prompts = [scene.caption() for scene in scenes]
    else:
        found = list(dict.fromkeys(_read(source, prompt_set, data_folder)))
        _enough(len(found), prompt_set, count)
        prompts = found[:count] if source.get("ordered") else _own_share(found, source, prompt_set, count, seed)
    return pd.DataFrame({"prompt_id": range(count), "prompt": prompts})


def _enough(found: int, prompt_set: str, count: int) -> None:
    if found < count:
        raise UserError(
            f"prompt set {prompt_set!r} wants {count} prompts, the source has {found} different ones; "
            "add prompts or lower `prompts` in the scale's file"
        )


def _own_share(found: list[str], source: dict, prompt_set: str, count: int, seed: int) -> list[str]:
    """`count` prompts in an order drawn by `seed`; sets of one file begin at its start, at its end and between.

    A longer draw of a set begins with a shorter one, and the sets of one file share no prompt while there are enough.
    """
    ordered = sorted(found, key=lambda prompt: seed_of("prompts", seed, prompt))
    files = source.get("paths") or source["annotations"]
    family = _family(prompt_set, files)
    sharing = [name for name, file in files.items() if file == files[family]]
    place = sharing.index(family)
    if 0 < place == len(sharing) - 1:
        return ordered[: -count - 1 : -1]
    start = len(ordered) * place // max(1, len(sharing) - 1)
    return ordered[start : start + count]


def _family(prompt_set: str, known: Collection[str]) -> str:
    """The set itself, or the longest known name that it begins with, up to a `_`; its first word if there is none."""
    family = prompt_set
    while family not in known and "_" in family:
        family = family.rpartition("_")[0]
    return family


def _read(source: dict, prompt_set: str, data_folder: Path) -> Iterator[str]:
    if source["kind"] == "prompts_file":
        path = (fetched(source, data_folder) if "folder" in source else Path()) / _file_of(source, "paths", prompt_set)
        lines = read_lines(path)
    elif source["kind"] == "prompts_table":
        lines = _rows(fetched(source, data_folder) / _file_of(source, "annotations", prompt_set), source)
    else:
        path = data_folder / source["hub"] / _file_of(source, "annotations", prompt_set)
        lines = (prompt for (prompt,) in read_fields(path, source["prompt_field"]))
    yield from (text for text in map(_cleaned_by(source), lines) if text and not HALVES.search(text))


def _cleaned_by(source: dict) -> Callable[[str], str]:
    """What makes a prompt of a text; a line of a file keeps the white space within, as listings of images do."""
    if source.get("strip_flags"):
        return strip_flags
    return str.strip if source["kind"] == "prompts_file" else lambda text: " ".join(text.split())


def _rows(path: Path, source: dict) -> Iterator[str]:
    """Prompts of a CSV table, or of a list of records in a JSON file; `where` keeps rows that match its patterns."""
    import pandas as pd

    with readable(path):
        table = pd.read_csv(path) if path.suffix == ".csv" else pd.DataFrame(_records(path, source.get("records")))
    needed = [source["prompt_field"], *source.get("where", {})]
    if missing := [name for name in needed if name not in table]:
        raise UserError(f"{path} has no column '{missing[0]}'; it has: {', '.join(table.columns)}")
    for column, pattern in source.get("where", {}).items():
        table = table[[_matches(value, pattern) for value in table[column].astype(str)]]
    yield from table[source["prompt_field"]].dropna().astype(str)


def _records(path: Path, field: str | None) -> list[dict]:
    return read_json(path) if field is None else read_json(path)[field]


def _matches(value: str, pattern: str) -> bool:
    """Whether a value matches a pattern, or does not match the one after a `!`."""
    return fnmatch(value, pattern.removeprefix("!")) != pattern.startswith("!")


def _file_of(source: dict, key: str, prompt_set: str) -> str:
    files = source[key]
    if (family := _family(prompt_set, files)) not in files:
        raise UserError(f"{source['name']} names no file for prompt set {prompt_set!r} under `{key}`; add it")
    return files[family]


def read_fields(path: Path, *fields: str) -> Iterator[tuple[str, ...]]:
    """Texts of some fields of JSON lines, empty where a line has null; UserError for a line that lacks one."""
    for number, line in enumerate(read_lines(path), 1):
        try:
            record = json.loads(line)
            values = tuple(record[field] or "" for field in fields)
        except (ValueError, LookupError, TypeError, RecursionError):
            values = (None,)
        if not all(isinstance(value, str) for value in values):
            raise UserError(
                f"line {number} of {path} is no JSON with a text for {' and '.join(fields)}; fetch it again"
            )
        yield values


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a text file in UTF-8, or of all files in a .tgz; UserError when it is missing or no such text."""
    if not path.exists():
        raise UserError(f"{path} is missing; put one prompt a line into it, or fetch the data set: see docs/data.md")
    if path.suffix == ".tgz":
        for _, file in tar_files(path):
            yield from _lines(path, file)
    else:
        with path.open("rb") as file:
            yield from _lines(path, file)


def _lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    with readable(path):
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise UserError(f"{path} has a line of more than {LONGEST_LINE:,} bytes, which is no prompt")
            yield line.decode()
