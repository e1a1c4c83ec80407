"""Pools of samples, and how many samples of each prompt are taken from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .grids import ImageGrid
from .policies import Policy
from .runs import SELECTION
from .studies import studies_at

if TYPE_CHECKING:
    from .config import Config

Pool = tuple[str, str]
"""A policy of replicate 0 and a prompt set: images that some step takes the first K samples of."""


def pools_taken(config: Config, scale: str) -> Iterator[tuple[Pool, int]]:
    """K of every round of a run, of every row of a table, figure or study, of sampled references, and of VBench."""
    yield from _taken_by_runs(config, scale)
    yield from _taken_by_vbench(config, scale)
    for sheet in (*config.tables, *config.figures):
        for row in config.table_rows(sheet, scale):
            for prompt_set in config.row_prompt_sets(sheet, row, scale) if not row.skipped else ():
                yield (row.policy, prompt_set), row.row.candidates
    for grid in config.figures_of(ImageGrid).values():
        for block in grid.blocks:
            for row in config.columns_shown(block, scale):
                yield (row.policy, block.prompt_set(config.scale(scale))), row.row.candidates
    for about in config.scale(scale).references.values():
        if about.model:
            yield (about.model, about.prompts), about.per_prompt
    for study in (config.studies[name] for name in studies_at(config, scale)):
        for row in study.rows:
            yield (config.plan(row, scale).policy, study.prompts), row.candidates


def _taken_by_vbench(config: Config, scale: str) -> Iterator[tuple[Pool, int]]:
    found = config.scale(scale)
    for sheet in (*config.tables, *config.figures):
        metrics = [found.metrics[column.name] for column in config.table_columns(sheet, scale)]
        for about in (one for one in metrics if one["kind"] == "vbench"):
            for row in (one for one in config.table_rows(sheet, scale) if not one.skipped):
                yield (row.policy, about["prompts"]), found.counts["vbench_clips"]
                yield (row.policy, about["flickering"]), found.counts["vbench_flickering_clips"]


def _taken_by_runs(config: Config, scale: str) -> Iterator[tuple[Pool, int]]:
    for name in config.runs(scale):
        run = config.run(name, scale)
        for number in range(run["rounds"]) if run["data"] == SELECTION else ():
            policy = Policy(name, 0, number + 1).previous(run["model"])
            yield (str(policy), run["prompts"]), run["candidates"]
