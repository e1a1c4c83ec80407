"""Hyperparameter leaves: a value, its provenance and the line that states it, in trees that recipes merge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .loading import Document, Keys


@dataclass(frozen=True)
class Leaf:
    """One stated value: `kind` is quoted, assumed or, where a scale replaced what a recipe states, scale."""

    value: Any
    kind: str
    text: str
    where: str
    replaces: Leaf | None = None


def lift(document: Document, *keys: str) -> Any:
    """The part of a document under `keys`, with every `{value, quoted | assumed}` turned into a Leaf."""
    data = document.data
    for key in keys:
        data = data.get(key, {})
    return _lift(document, data, keys)


def _lift(document: Document, data: Any, keys: Keys) -> Any:
    if not isinstance(data, dict):
        return data
    for kind in ("quoted", "assumed"):
        if data.keys() == {"value", kind}:
            return Leaf(data["value"], kind, data[kind], document.where(*keys))
    return {key: _lift(document, value, (*keys, key)) for key, value in data.items()}


def plain(tree: Any) -> Any:
    """The tree with bare values in place of leaves; a copy."""
    if isinstance(tree, Leaf):
        return tree.value
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    return [plain(value) for value in tree] if isinstance(tree, list) else tree


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    """All leaves of a tree with their dotted keys."""
    for key, value in tree.items():
        if isinstance(value, Leaf):
            yield prefix + key, value
        elif isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")


def merge(base: dict, change: dict) -> dict:
    """`base` with the entries of `change` on top, maps merged key by key."""
    merged = dict(base)
    for key, value in change.items():
        both_maps = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both_maps else value
    return merged


def override(base: dict, change: dict) -> dict:
    """`base` with those leaves of `change` that it has already; each remembers the recipe's leaf that it replaces."""
    replaced = dict(base)
    for key, value in change.items():
        old = base.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            replaced[key] = override(old, value)
        elif isinstance(value, Leaf) and isinstance(old, Leaf):
            replaced[key] = Leaf(value.value, "scale", value.text, value.where, old.replaces or old)
    return replaced
