"""Train a reward head on cached features of proxy images and of images by the generator."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import parser, run
from workflow_scripts.lib.options import add_options_of, settings_of
from workflow_scripts.lib.rewards.settings import RewardSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `train_reward`."""
    args = _parser().parse_args(argv)

    from dataclasses import asdict, replace

    from workflow_scripts.lib.files import write_json
    from workflow_scripts.lib.provenance import fingerprint
    from workflow_scripts.lib.rewards.features import FeatureSet, common_encoder
    from workflow_scripts.lib.rewards.reward_heads import save_reward_model
    from workflow_scripts.lib.rewards.training import train_reward_model

    settings = settings_of(args, RewardSettings)
    proxies = FeatureSet.read(args.proxies).first(args.num_proxies, "proxies")
    negatives = FeatureSet.read(args.negatives, args.negative_images).first(args.num_negatives, "negatives")
    pool = FeatureSet.read(*(args.pool, args.pool_images) if settings.variant == "bootstrap" else ([],))
    abouts = proxies.abouts | negatives.abouts | pool.abouts
    encoder = common_encoder(abouts)
    counts = {"proxies": len(proxies), "negatives": len(negatives), "pool": len(pool)}
    print(f"features by {encoder}: {counts}; {settings}", flush=True)

    given = (one.features if len(one) else None for one in (negatives, pool))
    model, history = train_reward_model(proxies.features, *given, settings, args.seed, args.device)
    made_of = {"config": asdict(settings), "seed": args.seed, "counts": counts}
    head = fingerprint(**made_of, features=[about["fingerprint"] for about in abouts.values()])
    save_reward_model(args.out, replace(model, encoder=encoder, fingerprint=head))
    write_json(args.history, {**made_of, "history": history})


def _parser() -> argparse.ArgumentParser:
    options = parser(__doc__)
    add = options.add_argument
    add("--proxies", type=Path, nargs="+", required=True, help="features of the proxy images, label 1")
    add("--negatives", type=Path, nargs="*", default=[], help="features of the generator's images, label 0")
    add(
        "--negative-images",
        type=Path,
        nargs="*",
        default=[],
        help="part files of --negatives; only samples k = 0 are then used",
    )
    add("--pool", type=Path, nargs="+", default=[], help="features of further samples, ranked by variant bootstrap")
    add(
        "--pool-images", type=Path, nargs="+", default=[], help="part files of --pool; only samples k = 0 are then used"
    )
    add("--num-proxies", type=int, help="use the first so many proxies; all when left out")
    add("--num-negatives", type=int, help="use the first so many negatives; all when left out")
    add_options_of(options, RewardSettings)
    add("--seed", type=int, default=0, help="of the initial weights, the split, the order and the dropout")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--out", type=Path, required=True, help="reward model (.safetensors)")
    add("--history", type=Path, required=True, help="loss, held-out accuracy and AUC of every epoch (.json)")
    return options


if __name__ == "__main__":
    run(main, warm=True)
