"""Bring a data set's images or clips into shards: rendered, or read, cropped and resized to the generator's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.locks import sole_writer


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `import_images`."""
    options = parser(__doc__)
    options.add_argument("--dataset", required=True, help="name in config/data.yaml")
    options.add_argument(
        "--count", type=int, required=True, help="number of images (or pairs); with --prompts, of each"
    )
    options.add_argument("--prompts", type=Path, help="prompt set that the images belong to (.parquet)")
    options.add_argument(
        "--shape", type=_shape, required=True, help="[FRAMESx]HEIGHTxWIDTH: those of the generator's images or clips"
    )
    options.add_argument("--seed", type=int, default=0, help="of rendered scenes")
    options.add_argument(
        "--images-per-shard",
        type=int,
        default=1000,
        help="a clip counts as its frames (default: %(default)s)",
    )
    options.add_argument("--out", type=Path, required=True, help="part file (.json)")
    args = options.parse_args(argv)

    from workflow_scripts.lib.data.images import contents, read_dataset
    from workflow_scripts.lib.data.importing import import_part
    from workflow_scripts.lib.data.references import read_references
    from workflow_scripts.lib.files import sha256
    from workflow_scripts.lib.provenance import code_of, fingerprint
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.tables import read_table

    config = load_config()
    source = config.data_entry(args.dataset)
    about = {"source": source, "count": args.count, "shape": args.shape, "seed": args.seed}
    belonging = {"prompts": sha256(args.prompts)} if args.prompts else {}
    frames = {"frames": args.shape[0]} if len(args.shape) == 3 else {}
    per_shard = max(1, args.images_per_shard // frames.get("frames", 1))
    made_of = fingerprint(
        **about, **belonging, contents=contents(source), per_shard=per_shard, code=code_of("import_images")
    )
    about["data_folder"] = Path(config.settings["data_folder"])
    if args.prompts:
        prompts = read_table(args.prompts)
        read, total = partial(read_references, **about, prompts=prompts), args.count * len(prompts)
    else:
        read, total = partial(read_dataset, **about), args.count
    with sole_writer(args.out):
        import_part(read, total, per_shard, args.seed, args.out, made_of, dataset=args.dataset, **frames)


def _shape(text: str) -> tuple[int, ...]:
    sizes = tuple(map(int, text.split("x")))
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise ValueError(text)
    return sizes


if __name__ == "__main__":
    run(main)
