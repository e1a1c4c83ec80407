"""Encode what a training needs once: latents of selected images, and embeddings of their prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import add_hardware, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `encode_latents`."""
    options = parser(__doc__)
    add = options.add_argument
    add("--model", required=True, help="pipeline in config/models.yaml whose VAE and text encoders are used")
    add("--images", type=Path, nargs="+", required=True, help="part files of the collection")
    add(
        "--selection",
        type=Path,
        help="file of select_samples; without one, image 0 of each prompt is preferred to image 1",
    )
    add("--first-only", action="store_true", help="without a selection: image 0 of each prompt, preferred to none")
    add(
        "--latents",
        choices=["encoded", "sampler"],
        default="encoded",
        help="re-encode pixels, or take the sampler's own latents",
    )
    add("--batch-size", type=int, default=8, help="images encoded at once")
    add("--seed", type=int, default=0, help="of the VAE's posterior sample")
    add_hardware(options)
    add("--out", type=Path, required=True, help="safetensors file")
    args = options.parse_args(argv)

    import torch

    from workflow_scripts.lib.diffusion.pipelines import load_pipeline
    from workflow_scripts.lib.files import sha256
    from workflow_scripts.lib.models import identity
    from workflow_scripts.lib.provenance import code_of, fingerprint
    from workflow_scripts.lib.shards import Collection, Part
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.training.encoding import encode_examples, pairs_of

    config = load_config()
    entry = config.pipeline(args.model)
    collection = Collection(args.images)
    pairs = pairs_of(collection, args.selection, args.first_only)
    pipeline = load_pipeline(entry, config.pipelines(), None, args.device, getattr(torch, args.dtype))
    examples = encode_examples(pipeline, collection, pairs, args.latents, args.batch_size, args.seed)
    made_of = fingerprint(
        model=identity(entry),
        images=[Part(path).fingerprint for path in args.images],
        selection=sha256(args.selection) if args.selection else None,
        first_only=args.first_only,
        latents=args.latents,
        seed=args.seed,
        dtype=args.dtype,
        code=code_of("encode_latents"),
    )
    examples.save(args.out, made_of)


if __name__ == "__main__":
    run(main, warm=True)
