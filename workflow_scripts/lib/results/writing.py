"""What all texts share: Markdown tables, and writing one result in several formats."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import UserError
from ..files import atomic_write


def write_texts(paths: Sequence[Path], texts: Mapping[str, Callable[[], str]]) -> None:
    """Write each path with the text of its suffix, atomically; UserError for a suffix that `texts` does not have."""
    for path in paths:
        if path.suffix not in texts:
            raise UserError(f"{path} cannot be written; known formats: {', '.join(texts)}")
    for path in paths:
        with atomic_write(path) as temporary:
            temporary.write_text(texts[path.suffix](), encoding="utf-8")


def markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    for line in (head, ["---"] * len(head), *body):
        yield "| " + " | ".join(text.replace("|", "\\|") for text in line) + " |"
