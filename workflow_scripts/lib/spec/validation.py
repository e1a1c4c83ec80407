"""JSON schemas (Draft 2020-12) and their violations in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .loading import Document, Keys, load_document
from .policies import NAME
from .problems import Problems, unknown

if TYPE_CHECKING:
    from jsonschema import ValidationError

TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class Schemas:
    """All schemas of config/schemas, by name (`runs`, `scales`, …)."""

    def __init__(self, folder: Path) -> None:
        from referencing import Registry
        from referencing.jsonschema import DRAFT202012

        self.by_name: dict[str, dict] = {
            path.name.removesuffix(".schema.yaml"): load_document(path).data
            for path in sorted(folder.glob("*.schema.yaml"))
        }
        resources = (
            (f"{name}.schema.yaml", DRAFT202012.create_resource(schema)) for name, schema in self.by_name.items()
        )
        self._registry = Registry().with_resources(resources)

    def check(self, name: str, document: Document, problems: Problems) -> None:
        """Record every violation of the schema `name` in a document."""
        from jsonschema import Draft202012Validator

        errors = Draft202012Validator(self.by_name[name], registry=self._registry).iter_errors(document.data)
        found = [(document.where(*keys), text) for error in errors for keys, text in _describe(error)]
        for where, text in sorted(found, key=lambda item: int(item[0].rpartition(":")[2])):
            problems.add(text, where)

    def definition(self, reference: str) -> dict:
        """The schema that a `$ref` such as `runs.schema.yaml#/$defs/run` points to."""
        file, _, pointer = reference.partition("#")
        schema = self.by_name[file.removesuffix(".schema.yaml")]
        for part in pointer.strip("/").split("/"):
            schema = schema[part] if part else schema
        return schema


def check_file_name(path: Path, document: Document, problems: Problems) -> None:
    """The name of a table, figure, study or scale becomes a target, a pattern and a part of paths."""
    if not re.fullmatch(NAME, path.stem):
        said = f"the file's name '{path.name}' must consist of a-z, 0-9 and _, and begin with a letter; rename it"
        problems.add(said, document.where())


def _describe(error: ValidationError) -> Iterator[tuple[Keys, str]]:
    """Where and what, once per wrong key."""
    keys = tuple(error.absolute_path)
    if "propertyNames" in list(error.absolute_schema_path)[-2:]:
        yield (*keys, error.instance), f"{label((*keys, error.instance))}: {error.schema.get('x-error', error.message)}"
    elif error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance.keys() - known.keys():
            yield (*keys, key), f"{label(keys) or 'the file'} has unknown key {unknown(key, known)}"
    else:
        yield keys, _describe_value(error, keys)


def _describe_value(error: ValidationError, keys: Keys) -> str:
    name = label(keys) or "the file"
    if "x-error" in error.schema:
        return f"{name}: {error.schema['x-error']}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{name} lacks {', '.join(missing)}"
    if error.validator in ("enum", "const"):
        known = error.validator_value if error.validator == "enum" else [error.validator_value]
        return f"{name} is {unknown(error.instance, known)}"
    if error.validator == "type":
        return f"{name} must be {_type(error.validator_value)}, not {error.instance!r}"
    return f"{name}: {error.message}"


def _type(types: Any) -> str:
    return " or ".join(TYPES[one] for one in ([types] if isinstance(types, str) else types))


def label(keys: Keys) -> str:
    """Keys as a reader writes them: `rows[2].paper.fid`; the `value` of a hyperparameter is left out."""
    keys = keys[:-1] if keys and keys[-1] == "value" else keys
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")
