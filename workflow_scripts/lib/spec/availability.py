"""Whether a scale has all that a recipe names; what it lacks is not run there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .policies import parse_policy
from .runs import SELECTION

if TYPE_CHECKING:
    from .config import Config

NEEDS = {
    "reward": {"encoder": "models", "scorer": "models", "data": "images", "negatives": "prompts", "pool": "prompts"},
    "run": {"prompts": "prompts"},
}
"""Keys of recipes that name something of a scale, and the part of the scale that has it."""
WORDS = {"models": "model", "images": "images", "prompts": "prompts"}


def lacking(config: Config, kind: str, name: str, scale: str) -> str:
    """What a scale lacks for a reward or a run, in words; empty when it has everything."""
    recipe, found = config.resolved(kind, name, scale), config.scale(scale)
    for key, part in NEEDS[kind].items():
        if key in recipe and recipe[key] not in getattr(found, part):
            return f"{WORDS[part]} '{recipe[key]}'"
    if kind == "reward":
        return ""
    if recipe["data"] == SELECTION and (missing := lacking(config, "reward", recipe["reward"], scale)):
        return missing
    return lacking_policy(config, recipe["model"], scale)


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
