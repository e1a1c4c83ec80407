"""People's votes, as the page exports them: one file per rater, checked cell by cell before anything is counted."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..spec.loading import load_document, shown_path
from ..spec.problems import Problems, unknown
from ..spec.scales import prefix_of
from .key import Key

COLUMNS = ("study", "fingerprint", "rater", "pair", "question", "left", "right", "chosen")
RATER = re.compile(r"[a-z0-9][a-z0-9_-]{2,23}")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
STRANGE = re.compile(r"[^\n\r\t -~]")  # NUL and all that is not ASCII: nothing on the page asks for it
BOM = b"\xef\xbb\xbf"
MAX_BYTES = 5_000_000
MAX_CHARACTERS = 64
CURE = "export the votes again from the page and do not edit the file"


@dataclass(frozen=True)
class Vote:
    """One choice of one rater; `chose_b` is whether policy B won, `chose_left` where it stood."""

    rater: str
    pair: str
    question: str
    chose_b: bool
    chose_left: bool


Cells = dict[str, Any]
Line = tuple[str, Cells]
"""`file:line`, and the cells that stand there."""


def votes_folder(key: Key) -> Path:
    """Where the votes of a study belong: `resources/votes/{scale}{study}`."""
    return Path("resources/votes") / prefix_of(key.scale) / key.study


def vote_files(places: Iterable[str | Path]) -> list[Path]:
    """All exports among files and folders, sorted; UserError when there are none or one is of another kind."""
    places = list(map(Path, places))
    found = [file for place in places for file in ([place] if place.suffix else sorted(place.glob("[!.]*")))]
    for file in found:
        if file.suffix not in READERS:
            raise UserError(f"{file} is no export of votes (.csv or .json); move it elsewhere")
    if not found:
        raise UserError(
            f"no votes in {', '.join(map(str, places))}: give raters the page of the study, put the .csv or .json that "
            "each of them saves there, and run the same command again"
        )
    return found


def read_votes(files: Sequence[Path], key: Key) -> list[Vote]:
    """The votes of all raters; UserError with every problem and its file:line."""
    problems, votes = Problems(), []
    seen: dict[str, Path] = {}
    for file in files:
        mine = _read_file(file, key, problems)
        votes += mine
        for rater in dict.fromkeys(vote.rater for vote in mine):
            if rater in seen:
                said = f"rater '{rater}' is in {shown_path(seen[rater])} too; keep the newer export"
                problems.add(f"{said}, or rename one if they are two people", f"{shown_path(file)}:1")
            seen.setdefault(rater, file)
    problems.raise_if_any()
    return votes


def _read_file(file: Path, key: Key, problems: Problems) -> list[Vote]:
    lines = list(READERS[file.suffix](file, _text(file)))
    if not lines:
        problems.add(f"there are no votes; {CURE}", f"{shown_path(file)}:1")
    checker, votes = _Checker(key), []
    for where, cells in lines:
        found = checker.problem(cells)
        if found:
            problems.add(found, where)
        else:
            votes.append(checker.vote(cells))
    return votes


def _text(file: Path) -> str:
    """A file's text; UserError naming the line for anything that is not plain text of a sensible size."""
    shown = shown_path(file)
    try:
        with open(file, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UserError(f"{shown} has more than {MAX_BYTES:,} bytes, which no export has; {CURE} ({shown}:1)")
    text = data.removeprefix(BOM).decode("latin-1")
    if strange := STRANGE.search(text):
        line = text.count("\n", 0, strange.start()) + 1
        raise UserError(f"there is a character {strange[0]!r}, which no export has; {CURE} ({shown}:{line})")
    return text


def _read_csv(file: Path, text: str) -> Iterator[Line]:
    shown = shown_path(file)
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        head = next(reader, [])
        if head != list(COLUMNS):
            raise UserError(f"the first line must be {','.join(COLUMNS)}; {CURE} ({shown}:1)")
        for row in reader:
            where = f"{shown}:{reader.line_num}"
            if len(row) != len(COLUMNS):
                raise UserError(f"the line has {len(row)} cells instead of {len(COLUMNS)}; {CURE} ({where})")
            yield where, dict(zip(COLUMNS, row, strict=True))
    except csv.Error as error:
        raise UserError(f"not valid CSV: {error}; {CURE} ({shown}:{reader.line_num})") from None


def _read_json(file: Path, text: str) -> Iterator[Line]:
    shown = shown_path(file)
    try:
        json.loads(text)
        document = load_document(file)  # JSON is YAML: the same values, and the line of each
    except json.JSONDecodeError as error:
        raise UserError(f"not valid JSON: {error.msg}; {CURE} ({shown}:{error.lineno})") from None
    except (ValueError, RecursionError):
        raise UserError(f"this is no list of votes; {CURE} ({shown}:1)") from None
    if not isinstance(document.data, list):
        raise UserError(f"this is no list of votes; {CURE} ({shown}:1)")
    for index, cells in enumerate(document.data):
        where = document.where(index)
        if not isinstance(cells, dict) or cells.keys() != set(COLUMNS):
            raise UserError(f"a vote must have {', '.join(COLUMNS)} and nothing else; {CURE} ({where})")
        yield where, cells


READERS = {".csv": _read_csv, ".json": _read_json}


class _Checker:
    """Checks the lines of one file, of one rater, one vote per pair and question."""

    def __init__(self, key: Key) -> None:
        self.key, self.rater = key, None
        self.pairs = {pair.pair: pair for pair in key.pairs}
        self.questions = [question.name for question in key.questions]
        self.voted: set[tuple[str, str]] = set()

    def problem(self, cells: Cells) -> str:
        """What is wrong with a line, and the cure; empty when nothing is."""
        return self._malformed(cells) or self._foreign(cells) or self._repeated(cells)

    def vote(self, cells: Cells) -> Vote:
        """A line that has no problem."""
        chosen, pair = cells["chosen"], self.pairs[cells["pair"]]
        return Vote(
            cells["rater"], cells["pair"], cells["question"], chosen == pair.b.name, chose_left=chosen == cells["left"]
        )

    def _malformed(self, cells: Cells) -> str:
        for column, value in cells.items():
            if not isinstance(value, str):
                return f"{column} must be a text; {CURE}"
            if len(value) > MAX_CHARACTERS:
                return f"{column} has {len(value):,} characters, at most {MAX_CHARACTERS} make sense; {CURE}"
            if value.startswith(FORMULA):
                return f"{column} is {value!r}, which a spreadsheet would run as a formula; {CURE}"
        if not RATER.fullmatch(cells["rater"]):
            return f"rater {cells['rater']!r} is not 3 to 24 of a-z, 0-9, - and _; {CURE}"
        return ""

    def _foreign(self, cells: Cells) -> str:
        if cells["study"] != self.key.study:
            return f"these votes are of study {unknown(cells['study'], [self.key.study])}; move the file to its folder"
        if cells["fingerprint"] != self.key.fingerprint:
            return (
                f"these votes are of another version of the study ({cells['fingerprint']!r} instead of "
                f"'{self.key.fingerprint}'); use the key that was made together with the raters' page"
            )
        if cells["question"] not in self.questions:
            return f"unknown question {unknown(cells['question'], self.questions)}; {CURE}"
        pair = self.pairs.get(cells["pair"])
        if pair is None:
            return f"unknown pair {cells['pair']!r}; {CURE}"
        names = {pair.a.name, pair.b.name}
        if {cells["left"], cells["right"]} != names or cells["chosen"] not in names:
            return f"left, right or chosen is not an image of pair {pair.pair}; {CURE}"
        return ""

    def _repeated(self, cells: Cells) -> str:
        self.rater = self.rater or cells["rater"]
        if cells["rater"] != self.rater:
            return f"rater '{cells['rater']}' in a file of rater '{self.rater}'; keep one file per rater"
        vote = (cells["pair"], cells["question"])
        if vote in self.voted:
            return f"a second vote on pair {vote[0]}, question '{vote[1]}'; {CURE}"
        self.voted.add(vote)
        return ""
