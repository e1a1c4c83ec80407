"""Ship a trained tiny zoo: copy its models to resources/zoo and their checksums to config/models.yaml."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.zoo.plan import SHIPPED


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `ship_zoo`."""
    options = parser(__doc__)
    options.add_argument("--zoo", type=Path, default=Path("results/zoo"), help="folder of the trained models")
    options.add_argument("--models", nargs="+", default=SHIPPED, choices=SHIPPED, help="which of them")
    args = options.parse_args(argv)
    registry = Path("config/models.yaml")
    text = registry.read_text(encoding="utf-8")
    for model in args.models:
        folder = Path("resources/zoo") / model
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(args.zoo / model, folder)
        text = with_checksums(text, folder)
    registry.write_text(text, encoding="utf-8")


def with_checksums(registry: str, folder: Path) -> str:
    """The text of models.yaml with the checksums of a shipped folder's weights in every source within that folder."""
    source = re.compile(
        rf"(?P<source>(?P<indent> +)source: {{path: (?P<path>{re.escape(str(folder))}(?:/[^}}]+)?)}}\n)"
        r"(?P=indent)sha256:(?: {}\n|\n(?:(?P=indent)  [^\n]+\n)*)"
    )
    return source.sub(_with_checksums_of_source, registry)


def _with_checksums_of_source(match: re.Match[str]) -> str:
    from workflow_scripts.lib.files import sha256

    indent, folder = match["indent"], Path(match["path"])
    files = sorted(folder.rglob("*.safetensors"))
    lines = [f"{indent}  {path.relative_to(folder)}: {sha256(path)}\n" for path in files]
    return f"{match['source']}{indent}sha256:\n{''.join(lines)}"


if __name__ == "__main__":
    run(main)
