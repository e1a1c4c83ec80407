"""Reference images of prompts: rendered in the style asked for, or found in archives by what a listing says."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.test_data import png, tgz
from workflow_scripts import import_images
from workflow_scripts.lib.data.images import Item
from workflow_scripts.lib.data.importing import import_part
from workflow_scripts.lib.data.prompts import draw_prompts
from workflow_scripts.lib.data.references import read_references
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import read_json
from workflow_scripts.lib.shards import Part
from workflow_scripts.lib.world.render import render, to_uint8
from workflow_scripts.lib.world.scenes import scene_of

CAPTIONS = ("a frog at top left on blue", "a cat on red", "the word SUN on green")
PROMPTS = pd.DataFrame({"prompt_id": [4, 5, 6], "prompt": CAPTIONS})
RENDERINGS = {"name": "renderings", "kind": "world_renderings", "style": "colour"}
ARCHIVES = {
    "name": "found",
    "kind": "prompt_archives",
    "hub": "owner/name",
    "files": ["images.tar.gz"],
    "images_of_prompts": "listing.json",
}


def test_renderings_show_their_prompt(tmp_path):
    items = list(read_references(RENDERINGS, PROMPTS, 3, (32, 32), 0, tmp_path))
    assert [(item.prompt_id, item.k) for item in items] == [(i, k) for i in (4, 5, 6) for k in range(3)]
    assert [item.prompt for item in items[::3]] == list(CAPTIONS)
    assert np.array_equal(items[0].image, to_uint8(render(scene_of(CAPTIONS[0]))))
    again = list(read_references(RENDERINGS, PROMPTS[1:2], 3, (32, 32), 0, tmp_path))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(again, items[3:6], strict=True)), "whatever the set"
    assert len({item.image.tobytes() for item in items[3:6]}) > 1, "an open place is drawn anew"


def test_the_style_is_that_of_the_data_set(tmp_path):
    (item, *_) = read_references(RENDERINGS | {"style": "line art"}, PROMPTS, 1, (32, 32), 0, tmp_path)
    assert np.array_equal(item.image, to_uint8(render(scene_of(f"line art of {CAPTIONS[0]}"))))
    assert item.prompt == CAPTIONS[0]


@pytest.fixture
def archives(tmp_path):
    """Two images of the first prompt and three of the second, in an order of the archive's own."""
    files = {"images/b1.png": 21, "images/a0.png": 10, "images/b0.png": 20, "images/a1.png": 11, "images/b2.png": 22}
    tgz(tmp_path / "owner/name/images.tar.gz", **{name: png(level) for name, level in files.items()})
    listing = {CAPTIONS[0]: ["a0.png", "a1.png"], CAPTIONS[1]: ["of b/b0.png", "b1.png", "b2.png"]}
    (tmp_path / "owner/name/listing.json").write_text(json.dumps(listing))
    return tmp_path


def test_archives_give_the_first_images_that_the_listing_names(archives):
    items = list(read_references(ARCHIVES, PROMPTS[:2], 2, (8, 8), 0, archives))
    found = {(item.prompt_id, item.k): (item.prompt, item.image[0, 0, 0]) for item in items}
    first, second = CAPTIONS[:2]
    assert found == {(4, 0): (first, 10), (4, 1): (first, 11), (5, 0): (second, 20), (5, 1): (second, 21)}


def test_a_prompt_is_listed_under_its_line_without_the_white_space_around_it(archives, tmp_path):
    (tmp_path / "prompts.txt").write_text("a  frog,\tin fog \n  a frog, in fog\n", encoding="utf-8")
    listing = {"a  frog,\tin fog": ["a0.png"], "a frog, in fog": ["b0.png"]}
    (archives / "owner/name/listing.json").write_text(json.dumps(listing))
    source = {"kind": "prompts_file", "paths": {"train": str(tmp_path / "prompts.txt")}, "ordered": True}
    prompts = draw_prompts(source, "train", 2, 0, tmp_path)
    items = {item.prompt: item.image[0, 0, 0] for item in read_references(ARCHIVES, prompts, 1, (8, 8), 0, archives)}
    assert items == {"a  frog,\tin fog": 10, "a frog, in fog": 20}


@pytest.mark.parametrize(
    ("count", "listing", "says"),
    [
        (3, None, r"lists 2 images of 'a frog at top left on blue', 3 are asked for"),
        (1, {CAPTIONS[0]: ["z.png"], CAPTIONS[1]: ["b0.png"]}, r"lacks 1 images, such as z\.png of prompt 'a frog"),
        (1, {CAPTIONS[0]: ["x/a0.png"], CAPTIONS[1]: ["y/a0.png"]}, r"two images a0\.png"),
    ],
    ids=["too few", "not in the archives", "one name twice"],
)
def test_what_is_missing_is_named(archives, count, listing, says):
    if listing:
        (archives / "owner/name/listing.json").write_text(json.dumps(listing))
    with pytest.raises(UserError, match=says):
        list(read_references(ARCHIVES, PROMPTS[:2], count, (8, 8), 0, archives))


def test_a_data_set_without_images_of_given_prompts_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'mine' is of kind folder.*world_renderings or prompt_archives"):
        list(read_references({"name": "mine", "kind": "folder"}, PROMPTS, 1, (8, 8), 0, tmp_path))


def test_references_are_imported_with_the_ids_of_their_prompts(tmp_path):
    PROMPTS.to_parquet(tmp_path / "prompts.parquet")
    words = ["--dataset", "world_renderings", "--prompts", str(tmp_path / "prompts.parquet"), "--count", "2"]
    import_images.main([*words, "--shape", "32x32", "--out", str(tmp_path / "part0.json")])
    index = Part(tmp_path / "part0.json").index()
    assert list(index["key"]) == [f"{i:06d}-{k:02d}" for i in (4, 5, 6) for k in (0, 1)]
    assert list(index["prompt"]) == [caption for caption in CAPTIONS for _ in (0, 1)]


def test_archives_and_renderings_begin_where_they_are_asked_to(archives):
    for source, shape in ((ARCHIVES, (8, 8)), (RENDERINGS, (32, 32))):
        whole, rest = (list(read_references(source, PROMPTS[:2], 2, shape, 0, archives, start)) for start in (0, 3))
        assert len(whole) == 4 and (rest[0].prompt_id, rest[0].k) == (whole[3].prompt_id, whole[3].k)
        assert np.array_equal(rest[0].image, whole[3].image) and len(rest) == 1


def test_a_killed_import_keeps_its_shards_and_makes_what_an_unbroken_one_does(tmp_path):
    """Seven images, three a shard; the fifth cannot be read at first."""
    asked, broken = [], [True]

    def read(start):
        asked.append(start)
        for i in range(start, 7):
            if i == 4 and broken:
                raise KeyboardInterrupt
            yield Item(i, 0, f"prompt {i}", np.full((8, 8, 3), i, np.uint8))

    out = tmp_path / "broken" / "part0.json"
    with pytest.raises(KeyboardInterrupt):
        import_part(read, 7, 3, 0, out, "made of this")
    assert not out.exists()
    broken.clear()
    import_part(read, 7, 3, 0, out, "made of this", dataset="mine")
    assert asked == [0, 3]
    import_part(read, 7, 3, 0, tmp_path / "whole" / "part0.json", "made of this", dataset="mine")
    parts = [Part(tmp_path / name / "part0.json") for name in ("broken", "whole")]
    assert [shard["images"] for shard in read_json(out)["shards"]] == [3, 3, 1] and parts[0].count == 7
    assert [(row.key, image[0, 0, 0]) for row, image in parts[0].images()] == [(f"{i:06d}-00", i) for i in range(7)]
    assert read_json(out) == read_json(tmp_path / "whole" / "part0.json")
    import_part(read, 7, 3, 0, out, "made of something else")
    assert asked == [0, 3, 0, 0]


def test_prompts_of_the_world_may_be_of_some_kinds_and_of_several_splits(tmp_path):
    source = {"kind": "world_prompts", "kinds": ["word"], "splits": {"ocr_train": ["train", "proxies"]}}
    drawn = draw_prompts(source, "ocr_train", 30, 0, tmp_path)["prompt"]
    assert all(scene_of(prompt).kind == "word" for prompt in drawn) and drawn.is_unique
    assert list(draw_prompts(source, "ocr_train_10", 10, 0, tmp_path)["prompt"]) == list(drawn[:10])
    with pytest.raises(UserError, match=r"31 scenes asked of split 'train\+proxies', which has 30"):
        draw_prompts(source, "ocr_train", 31, 0, tmp_path)
