"""Encode the images of one part with a frozen encoder and cache the features."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import add_hardware, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `encode_images`."""
    args = _parser().parse_args(argv)

    from workflow_scripts.lib.features import write_features
    from workflow_scripts.lib.models import identity
    from workflow_scripts.lib.provenance import fingerprint
    from workflow_scripts.lib.rewards.encoders import encode_part, load_encoder
    from workflow_scripts.lib.shards import Part
    from workflow_scripts.lib.spec import load_config

    entry = load_config().model_entry(args.encoder)
    part = Part(args.images)
    features = encode_part(load_encoder(entry, args.device, args.dtype), part, args.batch_size)["features"]
    made_of = fingerprint(encoder=identity(entry), dtype=args.dtype, images=part.fingerprint)
    write_features(args.out, features, encoder=args.encoder, fingerprint=made_of, images=args.images)


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--encoder", required=True, help="name in config/models.yaml")
    options.add_argument("--images", type=Path, required=True, help="part file of the collection")
    options.add_argument("--batch-size", type=int, default=32, help="images encoded at once; changes no result")
    add_hardware(options)
    options.add_argument("--out", type=Path, required=True, help="features file (.safetensors)")
    return options


if __name__ == "__main__":
    run(main, warm=True)
