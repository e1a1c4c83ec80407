"""What only runs with rollouts have: rewards, discriminators and references, checked against each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .leaves import plain
from .problems import Problems
from .runs import ROLLOUTS
from .scales import Scale

if TYPE_CHECKING:
    from .config import Config

GRPO = "grpo"
RENDERED_FOR_PROMPTS = ("world_renderings", "prompt_archives")
"""Data sets that have images of given prompts: `references` of a scale take them, and nothing else does."""


def check_references(config: Config, scale: Scale, problems: Problems) -> None:
    """References are of a prompt set and from a source that can have images of given prompts."""
    pipelines = [role for role in scale.models if config.is_model(role, scale.name)]
    for role, about in scale.references.items():
        where, said = scale.where("references", role), f"references '{role}' name"
        problems.check_known(f"{said} prompt set", about.prompts, scale.prompts, where)
        if about.model:
            problems.check_known(f"{said} model", about.model, pipelines, where)
    for role, name in scale.data.items():
        kind = config.data.data.get(name, {}).get("kind")
        if kind and (role in scale.references) != (kind in RENDERED_FOR_PROMPTS):
            said = f"role '{role}' cannot be played by '{name}', which is of kind {kind}"
            where = scale.where("references" if role in scale.references else "data", role)
            problems.add(f"{said}; `references` take {' or '.join(RENDERED_FOR_PROMPTS)}", where)


def check_discriminators(config: Config, problems: Problems) -> None:
    """A number of steps belongs to the schedule ratio, and the score of a foundation model to some of its tokens."""
    recipes = config.recipes["discriminator"]
    for name in recipes.concrete():
        tree = plain(recipes.resolve(name))
        schedule, steps = tree["schedule"], tree["steps_per_generator_epoch"]
        if (schedule == "ratio") != (steps is not None):
            said = f"discriminator '{name}' has schedule {schedule} and steps_per_generator_epoch {steps}"
            problems.add(said, recipes.stated_at(name, "steps_per_generator_epoch"))
        if tree["kind"] == "foundation" and not tree["cls_weight"] + tree["patch_weight"]:
            said = f"discriminator '{name}' has cls_weight and patch_weight 0, so its reward is always 0"
            problems.add(said, recipes.stated_at(name, "patch_weight"))


def check_runs_with_rollouts(config: Config, problems: Problems) -> None:
    """GRPO trains on rollouts, once; it has a reward; weights add up to 1; a discriminator has references."""
    recipes = config.recipes["run"]
    for name in recipes.concrete():
        tree = plain(recipes.resolve(name))
        if (tree["objective"] == GRPO) != (tree["data"] == ROLLOUTS):
            said = f"run '{name}' has objective {tree['objective']} and data {tree['data']}"
            problems.add(f"{said}; `{ROLLOUTS}` belong to {GRPO}", recipes.stated_at(name, "data"))
        if tree["objective"] == GRPO:
            for said, key in _mistakes(tree):
                problems.add(f"run '{name}' {said}", recipes.stated_at(name, key))


def _mistakes(run: dict) -> list[tuple[str, str]]:
    """What is wrong with a run, and the key that says so."""
    weights, found = run["rewards"].values(), []
    if not weights and run["discriminator"] is None:
        found.append(("has neither rewards nor a discriminator; name one", "rewards"))
    if weights and not math.isclose(sum(weights), 1):
        found.append((f"has rewards whose weights add up to {sum(weights):g}, not to 1", "rewards"))
    if run["discriminator"] and run["references"] is None:
        found.append(("has a discriminator, which needs references; name some", "references"))
    if run["rounds"] != 1:
        found.append(("has more than one round; raise grpo.generator_epochs instead", "rounds"))
    return found


def check_rollouts(config: Config, scale: Scale, name: str, problems: Problems) -> None:
    """The counts of a run with rollouts fit each other and the prompts of a scale."""
    tree = config.resolved("run", name, scale.name)
    grpo, said = plain(tree["grpo"]), f"at scale '{scale.name}', run '{name}'"
    prompts, groups, images = scale.prompts[tree["prompts"]], grpo["groups_per_epoch"], _images(grpo)
    if groups > prompts:
        has = f"the set '{tree['prompts']}' has {prompts} prompts"
        problems.add(f"{said} draws {groups} prompts for an epoch, but {has}", tree["grpo"]["groups_per_epoch"].where)
    if images % (grpo["updates_per_epoch"] * grpo["micro_batch_size"]):
        of = f"{images} images of an epoch into {grpo['updates_per_epoch']} updates of whole micro-batches"
        where = tree["grpo"]["micro_batch_size"].where
        problems.add(f"{said} cannot divide {of} of {grpo['micro_batch_size']}", where)
    start = 0 if grpo["window_start"] == "random" else grpo["window_start"]  # random starts are drawn to fit
    if start + grpo["window_width"] > grpo["sampling_steps"] - 1:
        last = f"step {start + grpo['window_width']} of {grpo['sampling_steps']}, the last of which is not stochastic"
        problems.add(f"{said} has a window that ends with {last}", tree["grpo"]["window_width"].where)
    _check_prompts_of_references(config, scale, name, problems)


def _images(grpo: dict) -> int:
    return grpo["groups_per_epoch"] * grpo["group_size"]


def _check_prompts_of_references(config: Config, scale: Scale, name: str, problems: Problems) -> None:
    """Every prompt of the run has references: theirs is the same set, or a longer draw of it."""
    run = config.run(name, scale.name)
    if not run["references"]:
        return
    owned, wanted = scale.references[run["references"]].prompts, run["prompts"]
    if wanted != owned and not wanted.startswith(f"{owned}_"):
        said = f"run '{name}' trains on prompt set '{wanted}', but references '{run['references']}' are of '{owned}'"
        problems.add(said, config.recipes["run"].stated_at(name, "references"))
