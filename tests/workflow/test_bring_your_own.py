"""docs/extending.md: its worked example, followed to the letter in a reduced study, and its plans."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
from PIL import Image

from tests.documents import blocks_of, follow, snippets_of
from tests.workflow.study import IMAGES, REPOSITORY, TINY, assumed, make_study

PAGE = REPOSITORY / "docs/extending.md"


def test_the_worked_example_runs_as_it_is_written(study):
    text = PAGE.read_text()
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


def test_every_plan_of_the_page_can_be_made_after_its_snippets(tmp_path):
    study = make_study(tmp_path / "study", resources=False, reduced=False)
    for file, snippet in snippets_of(PAGE.read_text()):
        follow(study.root, file, snippet)
    lines = "".join(blocks_of(PAGE.read_text())).splitlines()
    for command, grpo_runs in (("snakemake -n ", 2), ("snakemake --profile profiles/gpu -n ", 0)):
        targets = [line.removeprefix(command) for line in lines if line.startswith(command)]
        jobs = study.dry_run(*command.split()[1:-1], *targets)
        assert len(targets) > 3 and jobs["train_dpo"] > 1 and jobs["compute_metrics"] >= 3
        assert jobs.get("train_grpo", 0) == grpo_runs
