"""Write docs/configuration.md, every key of the configuration, from the schemas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `write_configuration_page`."""
    options = parser(__doc__)
    options.add_argument("--config", type=Path, default=Path("config"), help="folder of the configuration")
    options.add_argument("--out", type=Path, default=Path("docs/configuration.md"), help="page to write")
    args = options.parse_args(argv)

    from workflow_scripts.lib.files import atomic_write
    from workflow_scripts.lib.spec.reference import reference_page
    from workflow_scripts.lib.spec.validation import Schemas

    with atomic_write(args.out) as temporary:
        temporary.write_text(reference_page(Schemas(args.config / "schemas")), encoding="utf-8")


if __name__ == "__main__":
    run(main)
