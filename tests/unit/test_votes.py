"""Votes: what the page exports is read, and everything else is refused with its line and the cure."""

import csv
import json
import re

import pytest

from tests.unit.study_examples import study_of, votes_of, write_page
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.study.votes import COLUMNS, MAX_BYTES, read_votes, vote_files, votes_folder


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("study"), study_of())[2]


def csv_of(rows):
    return "".join(f"{','.join(row)}\n" for row in [COLUMNS, *rows])


def json_of(rows):
    return "[\n" + ",\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows) + "\n]\n"


WRITERS = {"csv": csv_of, "json": json_of}


def write(folder, name, rows):
    file = folder / name
    file.write_text(WRITERS[file.suffix[1:]](rows))
    return file


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_raters_chose(tmp_path, key, suffix):
    rows = votes_of(key, "ann", lambda number, question: number < 2 and question == "quality")
    votes = read_votes([write(tmp_path, f"ann.{suffix}", rows)], key)
    assert len(votes) == 12
    assert [(vote.pair, vote.question) for vote in votes if vote.chose_b] == [("0", "quality"), ("1", "quality")]
    lefts = [vote.chose_left for vote in votes if vote.question == "quality"]
    assert lefts == [False, True, True, False, True, False], "A stands left in even pairs"


def test_both_formats_say_the_same(tmp_path, key):
    rows = votes_of(key, "ann", lambda number, question: number % 3 == 0)
    one, other = (read_votes([write(tmp_path, f"ann.{suffix}", rows)], key) for suffix in WRITERS)
    assert one == other


def test_a_mark_of_the_byte_order_and_windows_lines_are_read(tmp_path, key):
    text = csv_of(votes_of(key, "ann", lambda *_: True)).replace("\n", "\r\n")
    (tmp_path / "ann.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_votes([tmp_path / "ann.csv"], key)) == 12


def changed(column, value):
    def change(rows):
        rows[2][COLUMNS.index(column)] = value

    return change


MISTAKES = {
    "another study": (changed("study", "my_studi"), r"of study 'my_studi'; known: my_study. Did you mean 'my_study'\?"),
    "another fingerprint": (changed("fingerprint", "0" * 16), "of another version of the study"),
    "unknown pair": (changed("pair", "99"), "unknown pair '99'"),
    "unknown question": (changed("question", "qualty"), r"unknown question 'qualty'; .*Did you mean 'quality'\?"),
    "formula": (changed("rater", "=cmd|'/c calc'!A0"), "a spreadsheet would run as a formula"),
    "formula after a plus": (changed("pair", "+1"), "a spreadsheet would run as a formula"),
    "too long": (changed("chosen", "i" * 65), "chosen has 65 characters"),
    "rater of odd characters": (changed("rater", "<b>ann</b>"), "rater '<b>ann</b>' is not 3 to 24 of"),
    "empty rater": (changed("rater", ""), "rater '' is not 3 to 24 of"),
    "two raters": (changed("rater", "bob"), "rater 'bob' in a file of rater 'ann'"),
    "image of nobody": (changed("chosen", "left"), "is not an image of pair 1"),
    "same image twice": (lambda rows: changed("left", rows[2][6])(rows), "is not an image of pair 1"),
    "second vote": (lambda rows: rows.__setitem__(2, rows[1]), "a second vote on pair 0, question 'alignment'"),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(("change", "says"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_vote_is_named_with_its_line(tmp_path, key, suffix, change, says):
    rows = votes_of(key, "ann", lambda *_: True)
    change(rows)
    file = write(tmp_path, f"ann.{suffix}", rows)
    with pytest.raises(UserError, match=says) as caught:
        read_votes([file], key)
    assert f"({file}:4)" in str(caught.value), "the third vote stands in line 4 of both formats"


FILES = {
    "NUL": ("a.csv", lambda good: good.replace("alignment", "align\0ment", 1), r"character '\\x00'.*:3\)"),
    "not ASCII": ("a.csv", lambda good: good.replace("ann", "änn", 1), r"character .*:2\)"),
    "other header": ("a.csv", lambda good: good.replace("chosen", "choice"), r"first line must be study,.*:1\)"),
    "semicolons": ("a.csv", lambda good: good.replace(",", ";"), r"first line must be study,.*:1\)"),
    "missing cell": ("a.csv", lambda good: good.replace(",quality", "", 1), r"7 cells instead of 8.*:2\)"),
    "open quote": ("a.csv", lambda good: good.replace("quality", '"quality', 1), r"not valid CSV.*a.csv:\d+\)"),
    "empty": ("a.csv", lambda good: "", r"first line must be.*:1\)"),
    "header alone": ("a.csv", lambda good: good.splitlines()[0] + "\n", r"there are no votes.*:1\)"),
    "huge": ("a.csv", lambda good: good + "x" * MAX_BYTES, r"more than 5,000,000 bytes.*:1\)"),
    "broken JSON": ("a.json", lambda good: good.replace("},", "}", 1), r"not valid JSON.*:3\)"),
    "no list": ("a.json", lambda good: '{"votes": 1}', r"no list of votes.*:1\)"),
    "empty list": ("a.json", lambda good: "[]", r"there are no votes.*:1\)"),
    "deep": ("a.json", lambda good: "[" * 100_000, r"no list of votes.*:1\)"),
    "rather deep": ("a.json", lambda good: "[" * 900 + "]" * 900, r"a vote must have|no list of votes"),
    "number": ("a.json", lambda good: good.replace('"0"', "0", 1), r"pair must be a text.*:2\)"),
    "huge number": ("a.json", lambda good: good.replace('"0"', "9" * 5000, 1), r"no list of votes.*:1\)"),
    "key twice": (
        "a.json",
        lambda good: good.replace('"left"', '"pair": "1", "left"', 1),
        r"appears twice.*:2\)",
    ),
    "further key": ("a.json", lambda good: good.replace('"left"', '"x": "1", "left"', 1), r"nothing else.*:2\)"),
    "other kind": ("a.xlsx", lambda good: good, "a.xlsx is no export of votes"),
}


@pytest.mark.parametrize(("name", "change", "says"), FILES.values(), ids=FILES)
def test_a_wrong_file_is_named_with_its_line(tmp_path, key, name, change, says):
    good = WRITERS.get(name.partition(".")[2], csv_of)(votes_of(key, "ann", lambda *_: True))
    (tmp_path / name).write_text(change(good), encoding="utf-8")
    with pytest.raises(UserError, match=re.compile(says, re.DOTALL)):
        read_votes(vote_files([tmp_path]), key)


def test_a_rater_is_counted_once(tmp_path, key):
    rows = votes_of(key, "ann", lambda *_: True)
    files = [write(tmp_path, "a.csv", rows), write(tmp_path, "b.json", rows)]
    with pytest.raises(UserError, match=r"rater 'ann' is in .*a.csv too; keep the newer export.*b.json:1\)"):
        read_votes(files, key)


def test_several_problems_are_shown_at_once(tmp_path, key):
    rows = votes_of(key, "ann", lambda *_: True)
    rows[0][3], rows[5][4] = "77", "taste"
    with pytest.raises(UserError) as caught:
        read_votes([write(tmp_path, "a.csv", rows)], key)
    assert re.findall(r"a.csv:(\d+)", str(caught.value)) == ["2", "7"]


def test_no_votes_is_an_error_that_says_what_to_do(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="no votes in .*give raters the page"):
            vote_files([folder])
    with pytest.raises(UserError, match="absent.csv cannot be read"):
        read_votes(vote_files([tmp_path / "absent.csv"]), None)


def test_the_folder_of_a_study(key):
    assert str(votes_folder(key)) == "resources/votes/tiny/my_study"


def test_hidden_files_are_left_alone(tmp_path, key):
    file = write(tmp_path, "ann.csv", votes_of(key, "ann", lambda *_: True))
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert vote_files([tmp_path]) == [file]


def test_the_command_line_from_votes_to_table(tmp_path, key):
    from workflow_scripts.analyse_votes import main

    (tmp_path / "key.json").write_text(json.dumps(key.as_json()))
    folder = tmp_path / "votes"
    folder.mkdir()
    write(folder, "ann.csv", votes_of(key, "ann", lambda *_: True))
    write(folder, "bob.json", votes_of(key, "bob", lambda number, question: number < 3, questions=("quality",)))
    out = tmp_path / "votes.csv", tmp_path / "votes.md"
    main(["--key", str(tmp_path / "key.json"), "--votes", str(folder), "--out", *map(str, out)])
    quality, alignment = csv.DictReader(out[0].read_text().splitlines())
    counted = ("question", "win_rate", "votes", "raters", "prompts", "paper")
    assert [quality[name] for name in counted] == ["quality", "75.0", "12", "2", "6", "70.0"]
    assert [alignment[name] for name in counted] == ["alignment", "100.0", "6", "1", "6", ""]
    page = out[1].read_text()
    assert "| Which has more quality? | 75.0 % |" in page and "70.0 %" in page and "not given" in page
    assert "With one rater" in page and "for orientation only" in page and "Owen 2007" in page
