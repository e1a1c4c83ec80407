"""The assumption ledger: every number of a scale with its provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .leaves import Leaf, leaves, lift
from .scales import Scale
from .studies import studies_at

if TYPE_CHECKING:
    from .config import Config


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


def rows_of_scale(config: Config, scale: Scale) -> Iterator[LedgerRow]:
    """Rows of a scale's counts, of its models, of the recipes that it runs, and of its studies."""
    for part in ("latents", "prompts", "images", "references", "counts"):
        yield from ledger_rows(f"scale {scale.name}", {part: lift(scale.document, part)})
    for role, name in scale.models.items():
        yield from ledger_rows(f"model {role}", lift(config.models, name))
    for kind, names in (
        ("reward", config.rewards(scale.name)),
        ("discriminator", config.discriminators(scale.name)),
        ("run", config.runs(scale.name)),
    ):
        for name in names:
            yield from ledger_rows(f"{kind} {name}", config.resolved(kind, name, scale.name))
    for name in studies_at(config, scale.name):
        yield from ledger_rows(f"study {name}", lift(config.studies[name].document))


def ledger_rows(scope: str, tree: dict) -> Iterator[LedgerRow]:
    """A row for every leaf of a tree; `replaces` tells which recipe's value a scale set aside."""
    for key, leaf in leaves(tree):
        yield LedgerRow(scope, key, leaf.value, leaf.kind, leaf.text, leaf.where, _replaced(leaf.replaces))


def _replaced(leaf: Leaf | None) -> str:
    return f"{leaf.value} ({leaf.kind}: {leaf.text}; {leaf.where})" if leaf else ""
