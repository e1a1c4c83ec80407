"""The plan of the tiny zoo: every model can be trained, after what it starts from, and what is shipped is there."""

from pathlib import Path

from workflow_scripts.lib.zoo.plan import SHIPPED, ZOO
from workflow_scripts.lib.zoo.recipes import RECIPES


def test_every_planned_model_has_a_recipe():
    assert set(RECIPES) == set(ZOO) - {"tokenizer"}


def test_models_start_from_models_planned_before_them():
    planned = list(ZOO)
    assert all(source in planned[: planned.index(model)] for model, (sources, *_) in ZOO.items() for source in sources)


def test_the_shipped_models_are_there():
    assert {folder.name for folder in Path("resources/zoo").iterdir() if folder.is_dir()} == set(SHIPPED)
