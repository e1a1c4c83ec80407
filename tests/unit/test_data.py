"""Prompts and images from files: flags stripped, prompt sets disjoint, one way of cropping."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.lib.data.images import open_image, read_dataset
from workflow_scripts.lib.data.prompts import draw_prompts, strip_flags
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.world.detect import detect
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


def test_train_and_negatives_of_one_file_share_no_prompt(source, tmp_path):
    train = draw_prompts(source, "train", 20, 0, tmp_path)
    negatives = draw_prompts(source, "negatives", 10, 0, tmp_path)
    assert list(train["prompt_id"]) == list(range(20))
    assert set(train["prompt"]).isdisjoint(negatives["prompt"])
    assert len({*train["prompt"], *negatives["prompt"]}) == 30


def test_a_larger_prompt_set_begins_with_the_smaller(source, tmp_path):
    small, large = (draw_prompts(source, "train", n, 0, tmp_path)["prompt"] for n in (5, 20))
    assert list(large[:5]) == list(small)


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


def test_mixed_quality_is_crisp_at_times_and_shows_the_same_scenes(tmp_path):
    source = {"kind": "world", "split": "proxies", "style": "colour", "quality": "mixed"}
    items = list(read_dataset(source, 60, (32, 32), 0, tmp_path))
    crisp = list(read_dataset({**source, "quality": "crisp"}, 60, (32, 32), 0, tmp_path))
    assert [item.prompt for item in items] == [item.prompt for item in crisp]
    found = np.array([one.crispness for one in detect(np.stack([item.image for item in items]))])
    assert 0.15 < (found > 0.95).mean() < 0.5
    assert (found < 0.4).mean() > 0.3
    assert not any(scene_of(item.prompt).unsafe for item in items)


def test_prompt_sets_of_the_world_may_be_drawn_from_splits_of_other_names(tmp_path):
    source = {"kind": "world_prompts", "splits": {"coco": "eval"}}
    assert draw_prompts(source, "coco", 20, 0, tmp_path).equals(draw_prompts(source, "eval", 20, 0, tmp_path))
    unsafe = draw_prompts({**source, "unsafe": True}, "coco", 20, 0, tmp_path)["prompt"]
    assert all(scene_of(prompt).compound for prompt in unsafe)


LEVELS = {"s_idx_0.png": 10, "u_idx_0.png": 90, "s_idx_1.png": 200, "readme.txt": 0}


def encoded(level: int) -> bytes:
    """A uniform picture as PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (level,) * 3).save(buffer, "png")
    return buffer.getvalue()


def write_archive(path) -> None:
    """Pictures of LEVELS in a tar, a zip or a Parquet file, in that order."""
    files = {f"folder/{name}": encoded(level) for name, level in LEVELS.items()}
    if path.suffix == ".parquet":
        images = [{"bytes": data, "path": name} for name, data in files.items()]
        pd.DataFrame({"caption": list(files), "image": images}).to_parquet(path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


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
    images = [{"bytes": encoded(10), "path": None}]
    pd.DataFrame({"image": images}).to_parquet(tmp_path / "images.parquet")
    with pytest.raises(UserError, match="no names to choose by"):
        list(read_dataset(source, 1, (16, 16), 0, tmp_path))
    with pytest.raises(UserError, match="no column 'picture'; it has: image"):
        list(read_dataset({**source, "column": "picture"}, 1, (16, 16), 0, tmp_path))


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
