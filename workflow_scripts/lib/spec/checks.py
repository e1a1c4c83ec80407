"""What a schema cannot check: that names exist, that recipes are complete, that overrides find what they replace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .curves import Curves
from .grids import ImageGrid
from .leaves import leaves
from .policies import parse_policy
from .problems import Problems
from .rollouts import check_discriminators, check_references, check_runs_with_rollouts
from .runs import DECIDES, ROLLOUTS, SELECTION, misplaced_keys, missing_keys
from .scales import Scale
from .studies import Study, WinRates
from .tables import Diagram, RankFigure, Row, Table
from .validation import Schemas

if TYPE_CHECKING:
    from .config import Config

Sheet = Table | RankFigure | ImageGrid | Diagram | Curves | WinRates | Study
DISCRIMINATING = ("scorer", "encoder")
"""Kinds of models that a discriminator may be made of."""
DISTANCES = ("frechet_distance", "kernel_distance")
METRIC_ROLES = {"mean_score": "scorer", **dict.fromkeys(DISTANCES, "feature_extractor")}
"""Kind of model that plays a metric's role."""
PART_KINDS = ("scorer", "text_recogniser", "encoder")
PROMPT_KINDS = ("world_prompts", "prompts_file", "prompts_hub", "prompts_table")


def check_names(config: Config, problems: Problems) -> None:
    """Every name that a file uses is one that another file defines."""
    _check_model_bases(config, problems)
    _check_model_parts(config, problems)
    for scale in config.scales.values():
        _check_scale_names(config, scale, problems)
    _check_recipe_names(config, problems)
    for sheet in (*config.tables.values(), *config.figures.values()):
        _check_sheet_names(config, sheet, problems)
    for table in config.tables.values():
        _check_comparisons(table, problems)
    for study in config.studies.values():
        _check_study_names(config, study, problems)


def _check_model_bases(config: Config, problems: Problems) -> None:
    pipelines = [
        name for name, entry in config.models.data.items() if entry["kind"] == "pipeline" and "base" not in entry
    ]
    for name, entry in config.models.data.items():
        if "base" in entry:
            problems.check_known(
                f"model '{name}' names base", entry["base"], pipelines, config.models.where(name, "base")
            )


def _check_model_parts(config: Config, problems: Problems) -> None:
    parts = [name for name, entry in config.models.data.items() if entry["kind"] in PART_KINDS]
    for name, entry in config.models.data.items():
        for part, other in entry.get("parts", {}).items():
            others = [one for one in parts if one != name]
            problems.check_known(f"model '{name}' names part", other, others, config.models.where(name, "parts", part))


def _check_scale_names(config: Config, scale: Scale, problems: Problems) -> None:
    for part, registry in (("models", config.models), ("data", config.data)):
        for role, name in getattr(scale, part).items():
            problems.check_known(f"role '{role}' names entry", name, registry.data, scale.where(part, role))
    for role, name in scale.data.items():
        kind = config.data.data.get(name, {}).get("kind")
        if kind and (role == "prompts" or role in scale.prompts) != (kind in PROMPT_KINDS):
            problems.add(
                f"role '{role}' cannot be played by '{name}', which is of kind {kind}", scale.where("data", role)
            )
    check_references(config, scale, problems)
    for metric, about in scale.metrics.items():
        said, where = f"metric '{metric}' names role", scale.where("metrics", metric)
        if about["kind"] in METRIC_ROLES:
            _check_role(config, scale, said, about["role"], METRIC_ROLES[about["kind"]], where, problems)
        for prompts in (about["prompts"], about.get("flickering", about["prompts"])):
            problems.check_known(f"metric '{metric}' names prompt set", prompts, scale.prompts, where)
        if "reference" in about:
            problems.check_known(f"metric '{metric}' names reference", about["reference"], scale.images, where)
        if about["kind"] == "kernel_distance" and not _frechet_like(scale, about):
            problems.add(
                f"metric '{metric}' takes the features of a frechet_distance of its role, reference and prompts; "
                "there is none: add one",
                where,
            )
    for kind, recipes in config.recipes.items():
        for name in scale.changes[kind].named:
            where = scale.where("overrides", "named", f"{kind}s", name)
            problems.check_known(f"the override names {kind}", name, recipes.by_name, where)


def _frechet_like(scale: Scale, kernel: dict) -> bool:
    """Whether a scale has the Fréchet distance whose features a kernel distance shares."""
    shared = ("role", "reference", "prompts")
    return any(
        about["kind"] == "frechet_distance" and all(about[key] == kernel[key] for key in shared)
        for about in scale.metrics.values()
    )


def _check_role(config: Config, scale: Scale, said: str, role: str, kind: str, where: str, problems: Problems) -> None:
    fitting = [one for one, name in scale.models.items() if config.models.data.get(name, {}).get("kind") == kind]
    problems.check_known(said, role, fitting, where)


def _check_recipe_names(config: Config, problems: Problems) -> None:
    encoders, scorers = _roles(config, "encoder"), _roles(config, "scorer")
    starts, rewards = [*_roles(config, "pipeline"), *_rounds(config)], config.recipes["reward"].concrete()
    images, prompts, references = (_of_some_scale(config, part) for part in ("images", "prompts", "references"))
    discriminators = config.recipes["discriminator"].concrete()
    for kind, named in (
        (
            "run",
            {
                "model": starts,
                "reward": rewards,
                "data": [SELECTION, ROLLOUTS, *images],
                "prompts": prompts,
                "references": references,
                "discriminator": discriminators,
            },
        ),
        ("discriminator", {"model": _roles(config, *DISCRIMINATING)}),
        (
            "reward",
            {
                "encoder": encoders,
                "scorer": scorers,
                "data": [*images, *prompts],
                "negatives": prompts,
                "pool": prompts,
            },
        ),
    ):
        for name, recipe in config.recipes[kind].by_name.items():
            for key, known in named.items():
                if recipe.own.get(key) is not None:
                    problems.check_known(f"{kind} '{name}' names {key}", recipe.own[key], known, recipe.where(key))
            for key, said in (("rewards", "is rewarded by"), ("watch", "is watched by")):
                for role in recipe.own.get(key, ()):
                    problems.check_known(f"{kind} '{name}' {said}", role, scorers, recipe.where(key, role))


def _rounds(config: Config) -> list[str]:
    """Every round of every run, as another run may name it as its start."""
    runs = config.recipes["run"]
    rounds = {name: runs.resolve(name).get("rounds") for name in runs.concrete()}
    return [f"{name}.r{number + 1}" for name, leaf in rounds.items() if leaf for number in range(leaf.value)]


def _of_some_scale(config: Config, part: str) -> list[str]:
    """Names that some scale has in a part: images, prompts, references or metrics."""
    return list(dict.fromkeys(name for scale in config.scales.values() for name in getattr(scale, part)))


def _roles(config: Config, *kinds: str) -> list[str]:
    """Model roles that some scale gives to an entry of one of these kinds."""
    found = (
        role
        for scale in config.scales.values()
        for role, name in scale.models.items()
        if config.models.data.get(name, {}).get("kind") in kinds
    )
    return list(dict.fromkeys(found))


def _check_sheet_names(config: Config, sheet: Sheet, problems: Problems) -> None:
    metrics = _of_some_scale(config, "metrics")
    for index, column in enumerate(sheet.columns):
        where = sheet.document.where("columns", index)
        known = problems.check_known(f"'{sheet.name}' names metric", column.name, metrics, where)
        for scale in config.scales.values():
            if known and not column.optional and column.name not in scale.metrics:
                said = f"'{sheet.name}' needs metric '{column.name}', which scale '{scale.name}' lacks"
                problems.add(f"{said}; add it or mark the column optional", where)
    for row in sheet.rows:
        _check_row_names(config, sheet, row, problems)
    prompt_sets = _of_some_scale(config, "prompts")
    if isinstance(sheet, Diagram):
        runs = config.recipes["run"].concrete()
        problems.check_known(f"'{sheet.name}' draws run", sheet.run, runs, sheet.document.where("run"))
    for number, study in enumerate(sheet.studies if isinstance(sheet, WinRates) else ()):
        where = sheet.document.where("studies", number)
        problems.check_known(f"'{sheet.name}' shows study", study, config.studies, where)
    for block in sheet.blocks if isinstance(sheet, ImageGrid) else ():
        problems.check_known(f"'{sheet.name}' shows prompt set", block.prompts, prompt_sets, block.where)
        for scale in config.scales.values():
            if block.prompts not in scale.prompts:
                said = f"at scale '{scale.name}', '{sheet.name}' shows prompt set"
                problems.check_known(said, block.otherwise, scale.prompts, block.where)


def _check_study_names(config: Config, study: Study, problems: Problems) -> None:
    prompts = _of_some_scale(config, "prompts")
    where = study.document.where("prompts")
    problems.check_known(f"study '{study.name}' names prompt set", study.prompts, prompts, where)
    for row in study.rows:
        _check_row_names(config, study, row, problems)


def _check_row_names(config: Config, sheet: Sheet, row: Row, problems: Problems) -> None:
    said = f"row '{row.row}' of '{sheet.name}'"
    policies = dict.fromkeys([*_roles(config, "pipeline"), *config.recipes["run"].concrete()])
    problems.check_known(f"{said} names policy", row.policy, policies, row.lines["policy"])
    if row.reward:
        problems.check_known(
            f"{said} names reward", row.reward, config.recipes["reward"].concrete(), row.lines["reward"]
        )
    columns = [column.name for column in sheet.columns]
    for name in row.columns:
        problems.check_known(f"{said} names column", name, columns, row.lines["columns"])
    for name in row.paper:
        problems.check_known(f"{said} has the paper's value of column", name, columns, row.lines[f"paper.{name}"])


def _check_comparisons(table: Table, problems: Problems) -> None:
    for row in table.rows:
        names = [one.row for one in table.rows if one.base == row.base]
        if table.base_row is not None:
            where = table.document.where("base_row")
            problems.check_known(f"'{table.name}' has base_row", table.base_row, names, where)
        if names.count(row.row) > 1:
            said = f"'{table.name}' has two rows '{row.row}' of base '{row.base}'; rename one"
            problems.add(said, row.lines["policy"])
        for name in row.expected_in:
            columns = [column.name for column in table.columns]
            said = f"row '{row.row}' of '{table.name}' expects a direction of column"
            problems.check_known(said, name, columns, row.lines["expect"])
        for base, other in row.better_than:
            said = f"row '{row.row}' of '{table.name}' is compared with row"
            known = [one.row for one in table.rows if one.base == base]
            problems.check_known(said, other, known, row.lines["expect"])


def check_recipes(config: Config, schemas: Schemas, problems: Problems) -> None:
    """Recipes are complete, state nothing foreign to their objective, and overrides find what they replace."""
    for kind, recipes in config.recipes.items():
        properties = schemas.definition(f"runs.schema.yaml#/$defs/{kind}")["properties"]
        for name in recipes.concrete():
            tree, decides = recipes.resolve(name), DECIDES[kind]
            only = (f"x-{decides}s", tree.get(decides))
            missing = list(missing_keys(properties, tree, *only))
            if missing:
                problems.add(
                    f"{kind} '{name}' and its parents do not state {', '.join(missing)}", recipes.by_name[name].where()
                )
            for key in misplaced_keys(properties, tree, *only):
                said = f"{kind} '{name}' has {decides} {tree.get(decides)}, to which {key} does not belong"
                problems.add(said, recipes.stated_at(name, *key.split(".")))
    problems.raise_if_any()
    _check_reward_of_runs(config, problems)
    check_discriminators(config, problems)
    check_runs_with_rollouts(config, problems)
    _check_starts(config, problems)
    problems.raise_if_any()
    for scale in config.scales.values():
        _check_overrides(config, scale, problems)


def _check_reward_of_runs(config: Config, problems: Problems) -> None:
    recipes = config.recipes["run"]
    for name in recipes.concrete():
        tree = recipes.resolve(name)
        if tree["objective"] != "grpo" and (tree["data"] == SELECTION) != (tree["reward"] is not None):
            cure = "name the reward that selects" if tree["data"] == SELECTION else "write `reward: null`"
            problems.add(
                f"run '{name}' has data {tree['data']} and reward {tree['reward']}; {cure}",
                recipes.stated_at(name, "reward"),
            )


def _check_starts(config: Config, problems: Problems) -> None:
    """No run starts, by way of others, from itself."""
    recipes = config.recipes["run"]
    for name in recipes.concrete():
        seen, start = [], name
        while start in recipes.by_name and start not in seen:
            seen.append(start)
            start = parse_policy(recipes.resolve(start)["model"]).name
        if start in seen:
            said = f"run '{name}' starts from itself: {' -> '.join([*seen, start])}"
            problems.add(said, recipes.stated_at(name, "model"))


def _check_overrides(config: Config, scale: Scale, problems: Problems) -> None:
    for kind, recipes in config.recipes.items():
        trees = {name: dict(leaves(recipes.resolve(name))) for name in recipes.concrete()}
        groups = [(None, scale.changes[kind].everywhere), *scale.changes[kind].named.items()]
        for ancestor, change in groups:
            reached = [
                key
                for name, tree in trees.items()
                for key in tree
                if ancestor is None or ancestor in _names(recipes.chains[name])
            ]
            for key, leaf in leaves(change):
                problems.check_known(
                    f"scale '{scale.name}' changes a key that no {kind} of those has:", key, reached, leaf.where
                )


def _names(chain: list) -> list[str]:
    return [recipe.name for recipe in chain]
