"""Whether the counts of a scale fit together: nothing is taken from a pool that does not hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .leaves import plain
from .problems import Problems
from .rollouts import GRPO, check_rollouts
from .runs import SELECTION
from .scales import Scale
from .studies import Study, studies_at
from .tables import RankFigure, Row, Table

if TYPE_CHECKING:
    from .config import Config


def check_counts(config: Config, problems: Problems) -> None:
    """Pools are large enough for everything that is taken from them, at every scale."""
    for scale in config.scales.values():
        _check_data_sizes(config, scale, problems)
        _check_frechet_distances(scale, problems)
        for name in config.rewards(scale.name):
            _check_reward(config, scale, name, problems)
        for name in config.runs(scale.name):
            _check_scope(config, scale, name, problems)
            rollouts = config.resolved("run", name, scale.name)["objective"] == GRPO
            (check_rollouts if rollouts else _check_run)(config, scale, name, problems)
        for sheet in (*config.tables.values(), *config.figures.values(), *config.studies.values()):
            for row in sheet.rows:
                _check_row(config, scale, sheet, row, problems)
        for study in studies_at(config, scale.name):
            _check_study(scale, config.studies[study], problems)


def _check_data_sizes(config: Config, scale: Scale, problems: Problems) -> None:
    for role, count in scale.images.items():
        where = scale.where("images", role)
        if role in scale.references and role not in scale.data:
            continue  # a model makes them
        if role not in scale.data:
            problems.add(f"scale '{scale.name}' takes images of role '{role}', which no data set plays", where)
            continue
        name = scale.data[role]
        size = config.data.data[name].get("size")
        if size is not None and count > size:
            problems.add(f"scale '{scale.name}' takes {count} images of '{name}', which has {size}", where)


def _check_frechet_distances(scale: Scale, problems: Problems) -> None:
    for metric in (one for one in scale.metrics.values() if one["kind"] == "frechet_distance"):
        required = metric.get("minimum_images", scale.counts["minimum_images_for_fid"])
        least = min(scale.prompts[metric["prompts"]], scale.images[metric["reference"]])
        if least < required:
            said = f"{metric['title']} would compare {least} images, but minimum_images_for_fid is {required}"
            problems.add(said, scale.where("counts", "minimum_images_for_fid"))


def _check_reward(config: Config, scale: Scale, name: str, problems: Problems) -> None:
    tree, values = config.resolved("reward", name, scale.name), config.reward(name, scale.name)
    said = f"at scale '{scale.name}', reward '{name}'"
    limits = {
        "num_proxies": ("data", scale.prompts | scale.images, "images of role"),
        "num_negatives": ("negatives", scale.prompts, "prompts in the set"),
    }
    for key, (source, sizes, of_what) in limits.items():
        if key in values and values[key] > (most := sizes[values[source]]):
            has = f"there are {most} {of_what} '{values[source]}'"
            problems.add(f"{said} has {key} = {values[key]}, but {has}", tree[key].where)
    if values.get("variant") != "bootstrap":
        return
    labelled = values["bootstrap"]["num_positives"] + values["bootstrap"]["num_negatives"]
    if labelled > (most := scale.prompts[values["pool"]]):
        pool = f"the pool has {most}, one of each prompt in the set '{values['pool']}'"
        where = tree["bootstrap"]["num_positives"].where
        problems.add(f"{said} pseudo-labels {labelled} images, but {pool}", where)


def _check_run(config: Config, scale: Scale, name: str, problems: Problems) -> None:
    tree = config.resolved("run", name, scale.name)
    values, pool = plain(tree), scale.counts["samples_per_prompt"]
    if values["data"] not in (SELECTION, *scale.images):
        cure = f"name some under data and images, or a model for the role '{name}'"
        said = f"run '{name}' trains on {values['data']}, of which scale '{scale.name}' takes none; {cure}"
        problems.add(said, scale.where("data"))
    if 2 * values["pairs"] > values["candidates"] and values["data"] == SELECTION and values["objective"] == "dpo":
        said = f"run '{name}' makes {values['pairs']} pairs of K = {values['candidates']} candidates"
        problems.add(f"{said}; it needs 2 × {values['pairs']} of them", tree["pairs"].where)
    if values["data"] == SELECTION and values["candidates"] > pool:
        said = f"run '{name}' chooses from K = {values['candidates']} candidates"
        problems.add(f"{said}, but scale '{scale.name}' has {pool} samples per prompt", tree["candidates"].where)


def _check_scope(config: Config, scale: Scale, name: str, problems: Problems) -> None:
    training = config.resolved("run", name, scale.name)["training"]
    scope, rank = training["scope"], training["lora_rank"]
    if (scope.value == "lora") != (rank.value is not None):
        problems.add(f"run '{name}' has scope {scope.value} and lora_rank {rank.value}", rank.where)


def _check_study(scale: Scale, study: Study, problems: Problems) -> None:
    said = f"at scale '{scale.name}', study '{study.name}'"
    where = study.document.where("num_prompts")
    if problems.check_known(f"{said} needs prompt set", study.prompts, scale.prompts, study.document.where("prompts")):
        most = scale.prompts[study.prompts]
        if study.num_shown(scale) > most:
            problems.add(f"{said} shows {study.num_prompts} prompts, but the set {study.prompts} has {most}", where)


def _check_row(config: Config, scale: Scale, sheet: Table | RankFigure | Study, row: Row, problems: Problems) -> None:
    said, pool = f"row '{row.row}' of '{sheet.name}'", scale.counts["samples_per_prompt"]
    if row.candidates > pool:
        has = f"scale '{scale.name}' has {pool} samples per prompt"
        problems.add(f"{said} ranks K = {row.candidates} samples, but {has}", row.lines["best_of"])
    if row.round and row.policy in config.recipes["run"].by_name:
        rounds = config.recipes["run"].resolve(row.policy)["rounds"].value
        if row.round > rounds:
            problems.add(f"{said} is round {row.round} of run '{row.policy}', which has {rounds}", row.lines["round"])
