"""The worked example of docs/extending.md, followed to the letter in a reduced study."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from tests.workflow.study import IMAGES, REPOSITORY, TINY, Study, assumed

SNIPPET = re.compile(r"In `(config/[\w/]+\.yaml)`:\n\n((?:(?: {4}.*)?\n)+)")


def follow(study: Study, text: str) -> None:
    """Put every snippet of a text where it says that it belongs."""
    for file, snippet in SNIPPET.findall(text):
        path, new = study.root / file, yaml.safe_load(snippet)
        if path.exists():
            study.edit(file, lambda old, new=new: merge(old, new))
        else:
            path.write_text(yaml.safe_dump(new, sort_keys=False))


def merge(old: dict, new: dict) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            merge(old[key], value)
        else:
            old[key] = value


def test_the_worked_example_runs_as_it_is_written(study):
    text = (REPOSITORY / "docs/extending.md").read_text()
    example = text[text.index("## A worked example") : text.index("## Other target images")]
    follow(study, example)
    study.edit(TINY, lambda scale: scale["images"].update(my_images=assumed(IMAGES)))
    shutil.copytree(REPOSITORY / "resources/zoo/sd15", study.root / "resources/downloads/my_model")
    folder = study.root / "resources/user_images"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(IMAGES):
        Image.fromarray(random.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
    study.edit("config/tables/mine.yaml", lambda table: table["rows"][1]["selection"].update(best_of=3))

    study.snakemake("mine")
    table = pd.read_csv(study.root / "results/tiny/tables/mine.csv")
    assert list(table["row"].unique()) == ["before", "best of 10", "DPO"]
    assert list(table["run"].unique()) == ["my_model", "my_model_dpo.r1"]
    assert table["ours"].notna().all()
    before, after = (table[table["row"] == row].set_index("column")["ours"] for row in ("before", "DPO"))
    assert not before.equals(after)
