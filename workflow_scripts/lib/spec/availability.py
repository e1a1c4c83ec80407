"""Whether a scale has all that a recipe names; what it lacks is not run there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .policies import parse_policy
from .runs import SELECTION

if TYPE_CHECKING:
    from .config import Config

NEEDS = {
    "reward": {
        "encoder": ("models",),
        "scorer": ("models",),
        "data": ("images", "prompts"),
        "negatives": ("prompts",),
        "pool": ("prompts",),
    },
    "discriminator": {"model": ("models",)},
    "run": {"prompts": ("prompts",), "references": ("references",)},
}
"""Keys of recipes that name something of a scale, and the parts of the scale one of which has it."""
WORDS = {"models": "model", "images": "images", "prompts": "prompts", "references": "references"}


def lacking(config: Config, kind: str, name: str, scale: str) -> str:
    """What a scale lacks for a recipe, in words; empty when it has everything."""
    recipe, found = config.resolved(kind, name, scale), config.scale(scale)
    for key, parts in NEEDS[kind].items():
        if recipe.get(key) and not any(recipe[key] in getattr(found, part) for part in parts):
            return f"{WORDS[parts[0]]} '{recipe[key]}'"
    if kind != "run":
        return ""
    if missing := _lacking_while_training(config, recipe, scale):
        return missing
    if recipe["data"] == SELECTION and (missing := lacking(config, "reward", recipe["reward"], scale)):
        return missing
    return lacking_policy(config, recipe["model"], scale)


def _lacking_while_training(config: Config, run: dict, scale: str) -> str:
    """What a scale lacks of the scorers and of the discriminator of a run with rollouts."""
    models = config.scale(scale).models
    if missing := [role for role in run.get("rewards", ()) if role not in models]:
        return f"model '{missing[0]}'"
    return lacking(config, "discriminator", run["discriminator"], scale) if run.get("discriminator") else ""


def lacking_policy(config: Config, policy: str, scale: str) -> str:
    """What a scale lacks for a model role, or for a run (after a round) that it would have to train."""
    start = parse_policy(policy)
    if config.is_model(start.name, scale):
        return ""
    if start.name not in config.recipes["run"].concrete():
        return f"model '{start.name}'"
    rounds = config.resolved("run", start.name, scale)["rounds"].value
    if start.round and start.round > rounds:
        return f"more than {rounds} round{'s' * (rounds > 1)} of '{start.name}'"
    return lacking(config, "run", start.name, scale)
