"""The page of a user study: blinded, lossless, closed, and made from a fixed choice of prompts."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.unit.study_examples import (
    HOSTILE,
    NAMES,
    PROMPTS,
    image_of,
    sources_of,
    study_of,
    write_page,
    write_samples,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.study.key import Side, read_key
from workflow_scripts.lib.study.page import page
from workflow_scripts.lib.study.pairs import Source, make_pairs


class Elements(HTMLParser):
    """Attributes and text of every element that bears text, as a browser would part them."""

    def __init__(self, text):
        super().__init__()
        self.found, self._open = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._open = [tag, dict(attributes), ""]
        self.found.append(self._open)

    def handle_data(self, data):
        if self._open:
            self._open[2] += data

    def handle_endtag(self, tag):
        self._open = None

    def of(self, tag):
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = study_of()
    path, _, key = write_page(folder, study)
    return study, path.read_text(encoding="utf-8"), key, folder


@pytest.fixture(scope="module")
def elements(made):
    return Elements(made[1])


def public(elements):
    return json.loads(next(text for about, text in elements.of("script") if about.get("id") == "study"))


def images_of_page(elements):
    found = {}
    for about, text in elements.of("script"):
        if about.get("type") == "text/plain":
            assert text.startswith("data:image/webp;base64,")
            data = base64.b64decode(text.partition(",")[2])
            found[about["id"]] = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return found


def test_every_image_is_on_the_page_without_loss_and_the_key_says_whose_it_is(made, elements):
    images, key = images_of_page(elements), made[2]
    assert len(images) == 2 * len(PROMPTS)
    for number, pair in enumerate(key.pairs):
        for policy, image in enumerate((pair.a, pair.b)):
            np.testing.assert_array_equal(images[image.name], image_of(policy, number))


def test_prompts_and_questions_arrive_as_they_are_and_close_nothing(made, elements):
    about = public(elements)
    assert [pair["prompt"] for pair in about["pairs"]] == PROMPTS
    assert [question["name"] for question in about["questions"]] == ["quality", "alignment"]
    assert HOSTILE.split()[0] not in made[1] and "onerror" in made[1]
    types = [about.get("type") for about, _ in elements.of("script")]
    assert types == ["application/json", *["text/plain"] * 2 * len(PROMPTS), None], "one script runs"
    assert "Title &lt;b&gt;&amp; more&lt;/b&gt;" in made[1] and "<b>" not in made[1]


def test_nothing_on_the_page_tells_a_policy(made, elements):
    assert not [word for word in (*NAMES, "FirstTitle", "SecondTitle", "000000-00") if word in made[1]]
    key, shown = made[2], public(elements)["pairs"]
    assert all(pair["images"] == sorted(pair["images"]) for pair in shown)
    first = [pair["images"][0] == mine.a.name for pair, mine in zip(shown, key.pairs, strict=True)]
    assert 0 < sum(first) < len(first), "names must not sort one policy first"


def test_the_policy_admits_this_script_and_this_style_alone(elements):
    policy = next(a["content"] for a, _ in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (style,), script = elements.of("style"), elements.of("script")[-1]
    for rule, (_, text) in (("style-src", style), ("script-src", script)):
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert not [name for _, about, _ in elements.found for name in about if name.startswith("on") or name == "style"]


def test_nothing_is_loaded(made):
    without_images = re.sub(r"data:image/webp;base64,[^<]*", "", made[1])
    assert not re.findall(r"https?://|url\(|@import|\bfetch\(|XMLHttpRequest|sendBeacon", without_images)


def test_the_key_survives_its_file(made):
    assert read_key(made[3] / "key.json") == made[2]
    (made[3] / "other.json").write_text('{"study": "x"}')
    with pytest.raises(UserError, match=r"other.json is not the key of a study"):
        read_key(made[3] / "other.json")


def test_prompts_are_spread_evenly(tmp_path):
    study = study_of(num_prompts=3)
    key, images = make_pairs(study.name, "tiny", study.questions, *sources_of(tmp_path), 3)
    assert [pair.pair for pair in key.pairs] == ["0", "2", "4"] and len(images) == 6
    with pytest.raises(UserError, match="7 prompts asked for, the collection has 6"):
        make_pairs(study.name, "tiny", study.questions, *sources_of(tmp_path), 7)


def test_collections_of_other_prompts_are_refused(tmp_path):
    ours = Source(Side("One", "one", "first"), write_samples(tmp_path / "a", 0))
    theirs = Source(Side("Two", "two", "first"), write_samples(tmp_path / "b", 1, prompts=PROMPTS[::-1]))
    with pytest.raises(UserError, match=r"prompt 0 is 'a frog on blue' among the images of 'One', but 'six birds"):
        make_pairs("s", "tiny", study_of().questions, ours, theirs, 2)


def test_a_selection_shows_the_image_it_chooses(tmp_path):
    ours, theirs = sources_of(tmp_path, ks=3)
    index = [(f"{number:06d}-{k:02d}", number, k, 1.0 if k == 2 else 0.0) for number in range(6) for k in range(3)]
    rewards = pd.DataFrame(index, columns=["key", "prompt_id", "k", "reward"])
    best = Source(replace(theirs.side, selection="ganrm.best3"), theirs.parts, rewards)
    key, _ = make_pairs("s", "tiny", study_of().questions, ours, best, 2)
    assert [(pair.a.key, pair.b.key) for pair in key.pairs] == [("000000-00", "000000-02"), ("000003-00", "000003-02")]


def test_equal_images_have_two_names(tmp_path):
    sources = sources_of(tmp_path, image=lambda policy, number, k: image_of(0, number, k))
    key, images = make_pairs("s", "tiny", study_of().questions, *sources, 6)
    assert len(images) == 12 and all(pair.a.name != pair.b.name for pair in key.pairs)


def test_the_fingerprint_is_of_what_raters_judge(tmp_path):
    def fingerprint(folder, study, **about):
        return make_pairs(study.name, "tiny", study.questions, *sources_of(folder, **about), 6)[0].fingerprint

    same = fingerprint(tmp_path / "1", study_of())
    assert same == fingerprint(tmp_path / "2", study_of(title="Another title"))
    others = {
        fingerprint(tmp_path / "3", study_of(name="another")),
        fingerprint(tmp_path / "4", study_of(questions=("quality",))),
        fingerprint(tmp_path / "5", study_of(), image=lambda policy, number, k: image_of(policy, number, 1)),
    }
    assert len(others | {same}) == 4


def test_texts_that_look_like_the_template_stay_texts(tmp_path):
    study = study_of(title="{{script}}", introduction="{{images}}")
    key, images = make_pairs(study.name, "tiny", study.questions, *sources_of(tmp_path), 6)
    text = page(study, key, images)
    assert "<title>{{script}}</title>" in text and "<p>{{images}}</p>" in text
