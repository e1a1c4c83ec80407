"""Prompts and images from files: flags stripped, prompt sets disjoint, one way of cropping."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.lib.data.images import open_image, read_dataset
from workflow_scripts.lib.data.prompts import draw_prompts, strip_flags
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.spec import load_config
from workflow_scripts.lib.world.scenes import scene_of


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a cat --ar 16:9 --v 5", "a cat"),
        ("https://s.mj.run/abc a cat in the rain --q 2 --style raw", "a cat in the rain"),
        ("a well-known cat — no dogs", "a well-known cat — no dogs"),
        ("two  cats,   one dog", "two cats, one dog"),
        ("a cat --no text --seed 1234", "a cat"),
        ("half-timbered house, 8-bit style", "half-timbered house, 8-bit style"),
    ],
)
def test_flags_and_links_are_no_part_of_a_prompt(raw, clean):
    assert strip_flags(raw) == clean


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(f"prompt number {i}" for i in range(30)) + "\nprompt number 3\n\n")
    return {"kind": "prompts_file", "paths": {"train": str(path), "negatives": str(path)}}


def test_three_sets_of_one_csv_share_no_prompt_and_a_longer_draw_begins_with_a_shorter(tmp_path):
    rows = "".join(f'{i},"prompt {i}, of\nsome lines"\n' for i in range(60))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "all.csv").write_text("uuid,prompt\n" + rows)
    files = dict.fromkeys(("train", "eval", "negatives"), "all.csv")
    source = {"name": "x", "kind": "prompts_table", "folder": "set", "annotations": files, "prompt_field": "prompt"}
    drawn = {name: list(draw_prompts(source, f"{name}_video", 15, 0, tmp_path)["prompt"]) for name in files}
    assert len({prompt for prompts in drawn.values() for prompt in prompts}) == 45
    assert all("of some" in prompt for prompt in drawn["eval"])
    for name in files:
        assert list(draw_prompts(source, name, 10, 0, tmp_path)["prompt"]) == drawn[name][:10]


def test_train_and_negatives_of_one_file_share_no_prompt(source, tmp_path):
    train = draw_prompts(source, "train", 20, 0, tmp_path)
    negatives = draw_prompts(source, "negatives", 10, 0, tmp_path)
    assert list(train["prompt_id"]) == list(range(20))
    assert set(train["prompt"]).isdisjoint(negatives["prompt"])
    assert len({*train["prompt"], *negatives["prompt"]}) == 30


def test_prompts_of_a_figure_keep_their_order(source, tmp_path):
    drawn = draw_prompts({**source, "ordered": True}, "train", 5, 0, tmp_path)["prompt"]
    assert list(drawn) == [f"prompt number {i}" for i in range(5)]


def test_validation_takes_the_other_end_of_the_file_of_eval(source, tmp_path):
    source["paths"] = dict.fromkeys(("eval", "validation"), source["paths"]["train"])
    both = [set(draw_prompts(source, name, 15, 0, tmp_path)["prompt"]) for name in ("eval", "validation")]
    assert len(set.union(*both)) == 30


def test_a_larger_prompt_set_begins_with_the_smaller(source, tmp_path):
    small, large = (draw_prompts(source, "train", n, 0, tmp_path)["prompt"] for n in (5, 20))
    assert list(large[:5]) == list(small)


def test_prompts_of_a_file_that_differ_in_white_space_alone_are_different(source, tmp_path):
    Path(source["paths"]["train"]).write_text(" a frog\na  frog \na frog\t\n\na\tfrog\n", encoding="utf-8")
    drawn = draw_prompts({**source, "ordered": True}, "train", 3, 0, tmp_path)["prompt"]
    assert list(drawn) == ["a frog", "a  frog", "a\tfrog"]


def test_too_few_prompts_and_a_missing_file_are_refused(source, tmp_path):
    with pytest.raises(UserError, match="wants 31 prompts, the source has 30"):
        draw_prompts(source, "train", 31, 0, tmp_path)
    with pytest.raises(UserError, match="is missing; put one prompt a line"):
        draw_prompts({**source, "paths": {"train": str(tmp_path / "none.txt")}}, "train", 1, 0, tmp_path)


def test_images_are_cropped_to_their_centre_whatever_their_format(tmp_path):
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = 200
    for suffix in ("png", "bmp"):
        Image.fromarray(wide).save(tmp_path / f"image.{suffix}")
        cropped = open_image((tmp_path / f"image.{suffix}").read_bytes(), (40, 30), "image")
        assert cropped.shape == (40, 30, 3)
        assert (cropped == 200).all()


def test_a_folder_gives_its_images_in_order_of_name(tmp_path):
    for i, level in enumerate((10, 200, 90)):
        Image.new("RGB", (16, 16), (level,) * 3).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    items = list(read_dataset({"kind": "folder", "path": str(tmp_path)}, 3, (16, 16), 0, tmp_path))
    assert [item.image.mean() for item in items] == [10, 200, 90]
    assert [item.prompt for item in items] == ["", "", ""]


def test_images_of_a_folder_and_of_the_world_begin_where_they_are_asked_to(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    world = {"kind": "world", "split": "train", "style": "colour", "quality": "pairs"}
    for source, count in (({"kind": "folder", "path": str(tmp_path)}, 4), (world, 2)):
        whole, rest = (list(read_dataset(source, count, (32, 32), 0, tmp_path, start)) for start in (0, 3))
        assert len(whole) == 4 and (rest[0].prompt_id, rest[0].k) == (whole[3].prompt_id, whole[3].k)
        assert np.array_equal(rest[0].image, whole[3].image) and len(rest) == 1


def test_a_text_file_beside_an_image_of_a_folder_is_its_caption(tmp_path):
    for name in ("frog", "cat"):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.png")
    (tmp_path / "frog.txt").write_text("a frog\n at dawn \n", encoding="utf-8")
    items = list(read_dataset({"kind": "folder", "path": str(tmp_path)}, 2, (16, 16), 0, tmp_path))
    assert [item.prompt for item in items] == ["", "a frog at dawn"]


def test_a_folder_with_too_few_images_or_a_broken_one_is_refused(tmp_path):
    source = {"kind": "folder", "path": str(tmp_path)}
    with pytest.raises(UserError, match="is empty, 1 are asked for"):
        list(read_dataset(source, 1, (16, 16), 0, tmp_path))
    Image.new("RGB", (64, 64)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match="holds 1 images, 2 are asked for"):
        list(read_dataset(source, 2, (16, 16), 0, tmp_path))
    (tmp_path / "0.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    with pytest.raises(UserError, match=r"0\.png cannot be read as an image"):
        list(read_dataset(source, 1, (16, 16), 0, tmp_path))
    with pytest.raises(UserError, match="does not exist"):
        list(read_dataset({"kind": "folder", "path": str(tmp_path / "none")}, 1, (16, 16), 0, tmp_path))


def test_the_worlds_images_are_the_same_every_time(tmp_path):
    source = {"kind": "world", "split": "proxies", "style": "colour", "quality": "crisp"}
    first, again = (list(read_dataset(source, 5, (32, 32), 0, tmp_path)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) and a.prompt == b.prompt for a, b in zip(first, again, strict=True))
    pairs = list(read_dataset({**source, "quality": "pairs"}, 2, (32, 32), 0, tmp_path))
    assert [(item.prompt_id, item.k) for item in pairs] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_prompt_sets_of_the_world_may_be_drawn_from_splits_of_other_names(tmp_path):
    source = {"kind": "world_prompts", "splits": {"coco": "eval"}}
    assert draw_prompts(source, "coco", 20, 0, tmp_path).equals(draw_prompts(source, "eval", 20, 0, tmp_path))
    for sort in ("unsafe", "safe"):
        drawn = draw_prompts({**source, "compounds": sort}, "coco", 20, 0, tmp_path)["prompt"].map(scene_of)
        assert all(scene.compound and scene.unsafe == (sort == "unsafe") for scene in drawn)


LEVELS = {"s_idx_0.png": 10, "u_idx_0.png": 90, "s_idx_1.png": 200, "readme.txt": 0}


def write_archive(path) -> None:
    """Pictures of LEVELS in a tar, a zip or a Parquet file, in that order."""
    files = {f"folder/{name}": png(level) for name, level in LEVELS.items()}
    if path.suffix == ".parquet":
        images = [{"bytes": data, "path": name} for name, data in files.items()]
        pd.DataFrame({"caption": list(files), "image": images}).to_parquet(path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        tgz(path, **files)


@pytest.mark.parametrize("name", ["images.tgz", "images.zip", "images.parquet"])
def test_archives_give_the_images_whose_names_match(tmp_path, name):
    (tmp_path / "coco").mkdir()
    write_archive(tmp_path / "coco" / name)
    source = {"kind": "archives", "folder": "coco", "files": [name]}
    levels = [item.image.mean() for item in read_dataset(source, 3, (16, 16), 0, tmp_path)]
    assert levels == [10, 90, 200]
    safe = list(read_dataset({**source, "pattern": "s_idx_*", "files": [name, name]}, 3, (16, 16), 0, tmp_path))
    assert [item.image.mean() for item in safe] == [10, 200, 10]
    assert [item.prompt_id for item in safe] == [0, 1, 2]
    with pytest.raises(UserError, match="holds 2 images, 3 are asked for"):
        list(read_dataset({**source, "pattern": "s_idx_*"}, 3, (16, 16), 0, tmp_path))
    (tmp_path / "coco" / name).write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be read"):
        list(read_dataset(source, 3, (16, 16), 0, tmp_path))


def test_images_of_a_table_need_a_column_and_names(tmp_path):
    source = {"kind": "archives", "folder": ".", "files": ["images.parquet"]}
    images = [{"bytes": png(10), "path": None}]
    pd.DataFrame({"image": images}).to_parquet(tmp_path / "images.parquet")
    with pytest.raises(UserError, match="no names to choose by"):
        list(read_dataset(source, 1, (16, 16), 0, tmp_path))
    with pytest.raises(UserError, match="no column 'picture'; it has: image"):
        list(read_dataset({**source, "column": "picture"}, 1, (16, 16), 0, tmp_path))


def test_vbench_prompts_are_those_of_flickering_and_all_others_each_once(tmp_path):
    listed = [
        ("a frog", ["scene", "background_consistency"]),
        ("a pot, static", ["temporal_flickering"]),
        ("a cat", ["temporal_style"]),
        ("a frog", ["color"]),
        ("a stop sign", ["temporal_flickering"]),
    ]
    (tmp_path / "VBench").mkdir()
    entries = [{"prompt_en": prompt, "dimension": dimensions} for prompt, dimensions in listed]
    (tmp_path / "VBench/VBench_full_info.json").write_text(json.dumps(entries))
    config = load_config()
    for name, expected in (("vbench", ["a frog", "a cat"]), ("vbench_flickering", ["a pot, static", "a stop sign"])):
        source = config.data_entry(config.scale("paper").data[name])
        assert list(draw_prompts(source, name, 2, 0, tmp_path)["prompt"]) == expected
        with pytest.raises(UserError, match="wants 3 prompts, the source has 2"):
            draw_prompts(source, name, 3, 0, tmp_path)


def test_tables_give_the_prompts_of_rows_that_match(tmp_path):
    names = ["u_idx_0_0.jpg", "s_idx_0_0.jpg", "u_idx_1_0.jpg", "u_idx_0_0.jpg"]
    table = pd.DataFrame({"prompt": ["a knife", "a spoon", "a  bomb", "a knife"], "image": names})
    table.to_csv(tmp_path / "prompts.csv", index=False)
    (tmp_path / "prompts.json").write_text(json.dumps({"info": {}, "rows": table.to_dict("records")}))
    source = {"kind": "prompts_table", "folder": ".", "prompt_field": "prompt", "records": "rows"}
    source["where"] = {"image": "u_idx_*"}
    for name in ("prompts.csv", "prompts.json"):
        source["annotations"] = {"unsafe_train": name}
        assert set(draw_prompts(source, "unsafe_train", 2, 0, tmp_path)["prompt"]) == {"a knife", "a bomb"}
        with pytest.raises(UserError, match="wants 3 prompts, the source has 2"):
            draw_prompts(source, "unsafe_train", 3, 0, tmp_path)
    with pytest.raises(UserError, match="no column 'caption'; it has: prompt, image"):
        draw_prompts({**source, "prompt_field": "caption"}, "unsafe_train", 1, 0, tmp_path)
    with pytest.raises(UserError, match="none.csv is missing; fetch the data set"):
        draw_prompts({**source, "annotations": {"unsafe_train": "none.csv"}}, "unsafe_train", 1, 0, tmp_path)


def test_a_set_with_a_suffix_is_a_longer_draw_of_the_set_before_it(source, tmp_path):
    for name, longer in (("train", "train_double"), ("negatives", "negatives_many")):
        short, long = (
            list(draw_prompts(source, one, n, 0, tmp_path)["prompt"]) for one, n in ((name, 8), (longer, 16))
        )
        assert long[:8] == short
    world = {"kind": "world_prompts"}
    assert list(draw_prompts(world, "train_triple", 5, 0, tmp_path)["prompt"])[:3] == list(
        draw_prompts(world, "train", 3, 0, tmp_path)["prompt"]
    )
    with pytest.raises(UserError, match="mine names no file for prompt set 'unsafe' under `paths`"):
        draw_prompts(source | {"name": "mine"}, "unsafe", 3, 0, tmp_path)


def test_scenes_of_the_world_can_be_restricted_by_the_words_of_their_captions(tmp_path):
    source = {
        "kind": "world",
        "split": "proxies",
        "style": "colour",
        "quality": "crisp",
        "containing": ["blue", "star"],
    }
    prompts = [item.prompt for item in read_dataset(source, 40, (32, 32), 0, tmp_path)]
    assert all("on blue" in prompt or "star" in prompt for prompt in prompts)
    assert {prompt for prompt in prompts if "on blue" not in prompt} and len(set(prompts)) == 40
    with pytest.raises(UserError, match="which has 6[0-9] that fit"):
        list(read_dataset(source | {"containing": ["on blue"]}, 100, (32, 32), 0, tmp_path))


def tgz(path, **files):
    """An archive of files by name, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def png(level):
    """A grey picture of 8 by 8 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level, level, level)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def hub(tmp_path):
    """A source on the hub: four images in two archives, three of them with captions."""
    folder = tmp_path / "owner/name"
    tgz(folder / "000.tgz", **{"000/a.png": png(10), "000/readme.txt": b"-", "000/b.png": png(20)})
    tgz(folder / "001.tgz", **{"001/c.png": png(30), "001/d.png": png(40)})
    captions = {
        "./000/a.png": "a cat --v 5",
        "./001/c.png": "Portrait of a man",
        "./001/d.png": "portraits",
        "x.png": "?",
    }
    lines = [json.dumps({"img_path": name, "prompt": text}) for name, text in captions.items()]
    tgz(folder / "about.tgz", **{"about.jsonl": "\n".join(lines).encode()})
    about = {"file": "about.tgz", "image_field": "img_path", "prompt_field": "prompt"}
    return {"kind": "hub", "hub": "owner/name", "files": ["000.tgz", "001.tgz"], "captions": about}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("a cat", 10), ("Portrait of a man", 30), ("portraits", 40)]),
        ({"containing": ["portrait"]}, [("Portrait of a man", 30)]),
        ({"containing": ["portrait", "cat"]}, [("a cat", 10), ("Portrait of a man", 30)]),
        ({"captions": None}, [("", 10), ("", 20), ("", 30), ("", 40)]),
    ],
)
def test_images_of_archives_come_with_their_captions(hub, tmp_path, changes, expected):
    source = {key: value for key, value in (hub | changes).items() if value is not None}
    items = list(read_dataset(source, len(expected), (8, 8), 0, tmp_path))
    assert [(item.prompt, item.image[0, 0, 0]) for item in items] == expected
    assert [item.prompt_id for item in items] == list(range(len(expected)))
    with pytest.raises(UserError, match=f"holds {len(expected)} images, {len(expected) + 1} are asked for"):
        list(read_dataset(source, len(expected) + 1, (8, 8), 0, tmp_path))
