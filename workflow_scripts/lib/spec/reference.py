"""docs/configuration.md, made of the schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .validation import TYPES, Schemas

ORDER = (
    "config",
    "scales",
    "models",
    "data",
    "runs",
    "tables",
    "figures",
    "grids",
    "diagrams",
    "curves",
    "win_rates",
    "architectures",
    "studies",
    "costs",
)
HYPERPARAMETER = "hyperparameter.schema.yaml"
INTRODUCTION = """\
# Configuration

Written by `python -m workflow_scripts.write_configuration_page`, a part of `make docs`, from the descriptions in
`config/schemas`: edit them there.

Everything is checked before any job is planned. An unknown key or name is an error that names the file and line, lists
what is known and suggests the nearest. `<name>` stands for a name of your choice, `[]` for the entries of a list,
and a star for keys that must be there.
"""


def reference_page(schemas: Schemas) -> str:
    """The page as Markdown."""
    note = schemas.by_name["hyperparameter"]
    sections = [INTRODUCTION, f"## {note['title']}\n\n{note['description']}\n"]
    return "\n".join([*sections, *(_section(schemas, name) for name in ORDER)])


def _section(schemas: Schemas, name: str) -> str:
    schema = schemas.by_name[name]
    head = f"## {schema['title']}\n\n{schema['x-files']}\n\n{schema['description']}\n"
    rows = [f"| `{key}`{star} | {value} | {text} |" for key, star, value, text in _rows(schemas, schema, schema, "")]
    return "\n".join([head, "| key | value | meaning |", "|---|---|---|", *rows, ""])


def _rows(schemas: Schemas, root: dict, schema: dict, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """(key, star, value, meaning) of every key below a schema; definitions of the same file are written out."""
    for key, inner in schema.get("properties", {}).items():
        star = "*" if key in schema.get("required", ()) else ""
        yield from _row(schemas, root, inner, f"{prefix}.{key}".strip("."), star)
    for key, inner in (("<name>", schema.get("additionalProperties")), ("[]", schema.get("items"))):
        if isinstance(inner, dict) and _described(root, inner):
            yield from _row(schemas, root, inner, f"{prefix}{'' if key == '[]' else '.'}{key}".strip("."), "")


def _row(schemas: Schemas, root: dict, schema: dict, key: str, star: str) -> Iterator[tuple[str, str, str, str]]:
    local = _local(root, schema)
    text = schema.get("description") or local.get("description", "")
    yield key, star, _value(schemas, local), text.replace("|", "\\|")
    if not schema.get("$ref", "#").startswith(HYPERPARAMETER):
        yield from _rows(schemas, root, local, key)


def _described(root: dict, schema: dict) -> bool:
    return "description" in _local(root, schema) or "properties" in schema


def _local(root: dict, schema: dict) -> dict:
    """The definition that a `$ref` within the same file points to, with the keywords beside it."""
    reference = schema.get("$ref", "")
    if not reference.startswith("#/$defs/"):
        return schema
    return {
        **root["$defs"][reference.rpartition("/")[2]],
        **{key: value for key, value in schema.items() if key != "$ref"},
    }


def _value(schemas: Schemas, schema: dict) -> str:
    reference = schema.get("$ref", "")
    if reference.startswith(HYPERPARAMETER):
        return f"{_value(schemas, _bare(schemas, schema))}, with provenance"
    if reference:
        return f"as under {schemas.by_name[reference.partition('.')[0]]['title']}"
    if "enum" in schema:
        return " · ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(_value(schemas, one) for one in schema["anyOf"])
    return _types(schema)


def _bare(schemas: Schemas, schema: dict) -> dict:
    """The schema of a hyperparameter's value."""
    here = schema.get("properties", {}).get("value")
    return here or schemas.definition(schema["$ref"])["properties"]["value"]


def _types(schema: dict[str, Any]) -> str:
    types = schema.get("type", [])
    return " or ".join(TYPES[one] for one in ([types] if isinstance(types, str) else types))
