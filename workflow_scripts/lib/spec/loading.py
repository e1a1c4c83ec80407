"""YAML with line numbers: every key and value can be traced to the line that states it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..errors import UserError

Key = str | int
Keys = tuple[Key, ...]

_TAGS = {
    "tag:yaml.org,2002:null": (r"^(?:null|~|)$", ["n", "~", ""]),
    "tag:yaml.org,2002:bool": (r"^(?:true|false)$", list("tf")),
    "tag:yaml.org,2002:int": (r"^[-+]?(?:0|[1-9][0-9_]*)$", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML 1.2 scalars: `1e-4` is a number, `no` and `10:30` are strings (unlike PyYAML's rules); no merging."""

    yaml_implicit_resolvers: ClassVar[dict] = {}


for _tag, (_pattern, _first) in _TAGS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its plain data, and the line of every path of keys within it."""

    path: str
    data: Any
    lines: dict[Keys, int]

    def where(self, *keys: Key) -> str:
        """`file:line` of a path of keys, or of the innermost part of it that the file has."""
        while keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines[keys]}"


def load_document(path: Path) -> Document:
    """Parse a YAML file; UserError with file and line for bad syntax, a duplicate key, or a missing file."""
    shown = shown_path(path)
    try:
        with open(path, encoding="utf-8") as file:
            node = yaml.compose(file, Loader=_Loader)
    except FileNotFoundError:
        raise UserError(f"{shown} is missing; restore it with `git checkout -- {shown}`") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"not valid YAML: {error.problem} ({shown}:{line})") from None
    lines: dict[Keys, int] = {(): 1}
    data = {} if node is None else _construct(node, (), lines, shown)
    return Document(shown, data, lines)


def shown_path(path: Path) -> str:
    """A path as messages print it: relative to the working directory where it lies inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _construct(node: yaml.Node, keys: Keys, lines: dict[Keys, int], shown: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(node, keys, lines, shown)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*keys, index)] = item.start_mark.line + 1
        return [_construct(item, (*keys, index), lines, shown) for index, item in enumerate(node.value)]
    if "\0" in node.value:
        raise UserError(f"a NUL character, which no command line can hold; remove it ({shown}:{lines[keys]})")
    return _scalar(node)


def _construct_mapping(node: yaml.MappingNode, keys: Keys, lines: dict[Keys, int], shown: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in mapping:
            raise UserError(
                f"key '{key}' appears twice, first at line {lines[(*keys, key)]}; keep one ({shown}:{line})"
            )
        lines[(*keys, key)] = line
        mapping[key] = _construct(value_node, (*keys, key), lines, shown)
    return mapping


def _scalar(node: yaml.ScalarNode) -> str | int | float | bool | None:
    kind = node.tag.rpartition(":")[2]
    text = node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text == "true"
    if kind in ("int", "float"):
        return {"int": int, "float": float}[kind](text.replace("_", ""))
    return text
