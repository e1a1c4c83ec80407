"""Recipes of rewards, discriminators and runs: parents, a recipe's own differences, then what a scale changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .leaves import lift, merge, override
from .loading import Document
from .problems import Problems

META = ("parent", "abstract", "description")
SELECTION = "selection"
"""`data` of a run that trains on the generator's own samples."""
ROLLOUTS = "rollouts"
"""`data` of a run that samples while it trains (objective grpo)."""
DECIDES = {"reward": "kind", "discriminator": "kind", "run": "objective"}
"""Kinds of recipes, and the key on which a recipe's other keys depend; schemas say so by `x-kinds`, `x-objectives`."""
KINDS = tuple(DECIDES)


@dataclass(frozen=True)
class Recipe:
    """One recipe as written: its own differences (leaves lifted), its parent, and the file that states it."""

    name: str
    kind: str  # one of KINDS
    document: Document
    own: dict
    parent: str | None
    abstract: bool

    def where(self, *keys: str) -> str:
        """`file:line` of one of its keys."""
        return self.document.where(f"{self.kind}s", self.name, *keys)


@dataclass
class Recipes:
    """All recipes of one kind, and the parent chain of each, root first."""

    kind: str
    by_name: dict[str, Recipe] = field(default_factory=dict)
    chains: dict[str, list[Recipe]] = field(default_factory=dict)

    def concrete(self) -> list[str]:
        """Names of the recipes that are not abstract."""
        return [name for name, recipe in self.by_name.items() if not recipe.abstract]

    def add_all(self, document: Document, problems: Problems) -> None:
        """Add the recipes of one file; a name that another file has is a problem."""
        for name, entry in document.data.get(f"{self.kind}s", {}).items():
            where = document.where(f"{self.kind}s", name)
            if name in self.by_name:
                problems.add(
                    f"{self.kind} '{name}' is defined already at {self.by_name[name].where()}; rename one", where
                )
                continue
            own = {key: value for key, value in lift(document, f"{self.kind}s", name).items() if key not in META}
            self.by_name[name] = Recipe(
                name, self.kind, document, own, entry.get("parent"), entry.get("abstract", False)
            )

    def link(self, problems: Problems) -> None:
        """Find every recipe's chain of parents; an unknown parent or a cycle is a problem."""
        for name, recipe in self.by_name.items():
            chain = [recipe]
            while (parent := chain[0].parent) is not None:
                said = f"{self.kind} '{chain[0].name}' names parent"
                if not problems.check_known(said, parent, self.by_name, chain[0].where("parent")):
                    break
                if self.by_name[parent] in chain:
                    circle = " -> ".join([*(one.name for one in reversed(chain)), parent])
                    problems.add(f"{self.kind} '{name}' is its own ancestor: {circle}", recipe.where("parent"))
                    break
                chain.insert(0, self.by_name[parent])
            self.chains[name] = chain

    def resolve(self, name: str, changes: Changes | None = None) -> dict:
        """The complete recipe with leaves: the parent chain, then the changes of a scale."""
        tree: dict = {}
        for recipe in self.chains[name]:
            tree = merge(tree, recipe.own)
        for change in changes.for_chain(self.chains[name]) if changes else ():
            tree = override(tree, change)
        return tree

    def stated_at(self, name: str, *keys: str) -> str:
        """`file:line` of where a recipe, or the nearest ancestor that states it, says a key."""
        for recipe in reversed(self.chains[name]):
            if (f"{self.kind}s", recipe.name, *keys) in recipe.document.lines:
                return recipe.where(*keys)
        return self.by_name[name].where()


@dataclass(frozen=True)
class Changes:
    """What a scale changes in recipes of one kind: in all of them, and in named ones and their descendants."""

    everywhere: dict
    named: dict[str, dict]

    def for_chain(self, chain: list[Recipe]) -> Iterator[dict]:
        """The changes that apply to a recipe with this chain, the strongest last."""
        yield self.everywhere
        for recipe in chain:
            yield self.named.get(recipe.name, {})


def missing_keys(properties: dict, tree: dict, only: str, value: str | None, prefix: str = "") -> Iterator[str]:
    """Keys that the schema of a recipe has and a resolved recipe does not state.

    A key whose schema lists values under `only` is one of recipes with such a value.
    """
    for key, schema in properties.items():
        if schema.get("x-meta") or schema.get("x-optional") or value not in schema.get(only, [value]):
            continue
        if "properties" in schema and "$ref" not in schema:
            yield from missing_keys(schema["properties"], tree.get(key, {}), only, value, f"{prefix}{key}.")
        elif key not in tree:
            yield prefix + key


def misplaced_keys(properties: dict, tree: dict, only: str, value: str | None, prefix: str = "") -> Iterator[str]:
    """Keys that a resolved recipe states although they belong to recipes with another value."""
    for key, schema in properties.items():
        if key in tree and value not in schema.get(only, [value]):
            yield prefix + key
        elif "properties" in schema and "$ref" not in schema and key in tree:
            yield from misplaced_keys(schema["properties"], tree[key], only, value, f"{prefix}{key}.")
