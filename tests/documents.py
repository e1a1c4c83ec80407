"""Code blocks of the documentation; those of configuration begin with their file: `# config/runs/mine.yaml`."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import yaml

from workflow_scripts.lib.spec.loading import load_document

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(?<=\n\n)(?: {4,}\S.*\n(?:\n(?= {4}))*)+")
NAMED = re.compile(r"# (config/[\w/]+\.yaml)\n")


def blocks_of(text: str) -> list[str]:
    """The indented code blocks of a text, in order, without their indentation."""
    return [textwrap.dedent(block) for block in BLOCK.findall(text)]


def snippets_of(text: str) -> list[tuple[str, dict]]:
    """(file, data) of every block of a text that is configuration, in order."""
    named = ((NAMED.match(block), block) for block in blocks_of(text))
    return [(file[1], yaml.safe_load(block)) for file, block in named if file]


def follow(root: Path, file: str, snippet: dict) -> None:
    """Put a snippet where it says that it belongs: a new file, or under the keys that the file has already."""
    path = root / file
    data = load_document(path).data if path.exists() else {}
    _merge(data, snippet)
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000))


def _merge(old: dict, new: dict) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict) and "value" not in value:
            _merge(old[key], value)
        else:
            old[key] = value
