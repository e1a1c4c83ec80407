"""The assumption ledger: every number of a scale with its provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .leaves import Leaf, leaves


@dataclass(frozen=True)
class LedgerRow:
    """One value: of what (`run sd15_dpo`), which key, quoted, assumed or set by the scale, in which words, where."""

    scope: str
    key: str
    value: Any
    kind: str
    text: str
    where: str
    replaces: str = ""


def ledger_rows(scope: str, tree: dict) -> Iterator[LedgerRow]:
    """A row for every leaf of a tree; `replaces` tells which recipe's value a scale set aside."""
    for key, leaf in leaves(tree):
        yield LedgerRow(scope, key, leaf.value, leaf.kind, leaf.text, leaf.where, _replaced(leaf.replaces))


def _replaced(leaf: Leaf | None) -> str:
    return f"{leaf.value} ({leaf.kind}: {leaf.text}; {leaf.where})" if leaf else ""
