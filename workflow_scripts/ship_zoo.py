"""Ship a trained tiny zoo: copy its models to resources/zoo and their checksums to config/models.yaml."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run

SHIPPED = ("sd15", "clip", "pickscore", "hps", "imagereward", "extractor", "text_to_video")


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
    """The text of models.yaml with the checksums of a shipped folder's weights in every entry that points to it."""
    from workflow_scripts.lib.files import sha256

    lines = [f"    {path.relative_to(folder)}: {sha256(path)}" for path in sorted(folder.rglob("*.safetensors"))]
    entry = re.compile(
        rf"(?P<source>  source: {{path: {re.escape(str(folder))}}}\n)  sha256:(?: {{}}\n|\n(?:    [^\n]+\n)*)"
    )
    return entry.sub(lambda match: match["source"] + "  sha256:\n" + "\n".join(lines) + "\n", registry)


if __name__ == "__main__":
    run(main)
