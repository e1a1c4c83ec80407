"""Figures that show images: blocks of columns, each a policy under a selection."""

from __future__ import annotations

from dataclasses import dataclass, field

from .loading import Document
from .scales import EVAL, Scale
from .tables import Column, Row, read_row


@dataclass(frozen=True)
class Block:
    """Columns (`rows`, as in a table) of one base model, and the prompt set of which `show` prompts are shown."""

    base: str
    prompts: str
    otherwise: str
    show: int
    rows: list[Row]
    where: str  # file:line of `prompts`

    def prompt_set(self, scale: Scale) -> str:
        """The prompt set shown at a scale: the block's own, or `otherwise` where the scale does not have it."""
        return self.prompts if self.prompts in scale.prompts else self.otherwise


@dataclass(frozen=True)
class ImageGrid:
    """A figure of images; it has no metrics, so no `columns`."""

    name: str
    title: str
    caption: str
    blur: float
    blocks: list[Block]
    document: Document = field(repr=False)
    columns: tuple[Column, ...] = ()

    @property
    def rows(self) -> list[Row]:
        """The columns of all blocks."""
        return [row for block in self.blocks for row in block.rows]


def read_grid(name: str, document: Document) -> ImageGrid:
    """A validated document as an ImageGrid."""
    data = document.data
    blocks = [_block(document, number) for number in range(len(data["blocks"]))]
    return ImageGrid(name, data["title"], data["caption"], data.get("blur", 0), blocks, document)


def _block(document: Document, number: int) -> Block:
    block = document.data["blocks"][number]
    base, prompts = block["base"], block.get("prompts", EVAL)
    rows = [
        read_row({**column, "base": base}, document, ("blocks", number, "columns", i))
        for i, column in enumerate(block["columns"])
    ]
    otherwise = block.get("otherwise", EVAL)
    return Block(base, prompts, otherwise, block["show"], rows, document.where("blocks", number, "prompts"))
