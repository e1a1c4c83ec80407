"""Targets by name: the two papers, and their tables, figures and user studies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .studies import studies_at

if TYPE_CHECKING:
    from .config import Config

PAPERS = {"ganrm": "GAN-RM (arXiv 2506.13846)", "advgrpo": "Adv-GRPO (arXiv 2511.20256)"}
"""What a paper's targets begin with, and its name."""


def titles(config: Config) -> dict[str, str]:
    """The title of every table and figure by name."""
    sheets = (config.tables | config.figures).items()
    architectures = config.architectures.items()
    return {name: sheet.title for name, sheet in sheets} | {name: one.data["title"] for name, one in architectures}


def target_names(config: Config, scale: str, paper: str = "") -> list[str]:
    """Names of the tables and figures, and of the studies that a scale has, of a paper; of both without one."""
    return [name for name in (*titles(config), *studies_at(config, scale)) if name.startswith(paper)]
