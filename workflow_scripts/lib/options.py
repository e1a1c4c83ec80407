"""Options of a command line from dataclasses of settings: one per field, with the text that stands in the field."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

Settings = TypeVar("Settings")
TYPES = {
    "int": int,
    "float": float,
    "str": str,
    "str | None": str,
    "int | None": int,
    "float | None": float,
    "int | str": lambda text: int(text) if text.isdigit() else text,
}


def option(text: str, default: Any = MISSING, choices: Sequence[str] | None = None) -> Any:
    """A field of a dataclass of settings; `text` is the help of its option."""
    return field(default=default, metadata={"help": text, "choices": choices})


def add_options_of(
    options: argparse.ArgumentParser, settings: type, prefix: str = "", *, optional: bool = False
) -> None:
    """An option for each field of a dataclass of settings; fields without a default are required, unless `optional`."""
    for one in fields(settings):
        name, text = f"--{prefix}{one.name}".replace("_", "-"), one.metadata["help"]
        if one.type == "bool":
            options.add_argument(name, action="store_true", help=text)
            continue
        default = {"required": not optional} if one.default is MISSING else {"default": one.default}
        options.add_argument(name, type=TYPES[one.type], choices=one.metadata["choices"], help=text, **default)


def settings_of(args: argparse.Namespace, settings: type[Settings], prefix: str = "") -> Settings:
    """A dataclass of settings from the options of `add_options_of`."""
    return settings(**{one.name: getattr(args, prefix + one.name) for one in fields(settings)})
