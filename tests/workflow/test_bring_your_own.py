"""The worked example of docs/extending.md, followed to the letter in a reduced study."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
from PIL import Image

from tests.documents import follow, snippets_of
from tests.workflow.study import IMAGES, REPOSITORY, TINY, assumed


def test_the_worked_example_runs_as_it_is_written(study):
    text = (REPOSITORY / "docs/extending.md").read_text()
    example = text[text.index("## A worked example") : text.index("## Other target images")]
    for file, snippet in snippets_of(example):
        follow(study.root, file, snippet)
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
