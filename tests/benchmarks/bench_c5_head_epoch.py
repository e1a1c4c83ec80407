"""C5: an epoch of a reward head on cached features against the same epoch with the images encoded again.

The head is that of Tab. 6 (7.1 M parameters) in batches of 64, the encoder a ViT-B/32 with random weights, the images
512 x 512. Both sides use one torch thread. Arithmetic bounds the ratio on one device: an image costs the encoder 8.7
GFLOP and the head about 35 MFLOP forward and backward, so 250 at most even before AdamW. It is larger only where
decoding is the bottleneck (a fast GPU).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from workflow_scripts.lib.features import read_features, write_features
from workflow_scripts.lib.rewards.encoders import encode_part
from workflow_scripts.lib.rewards.reward_heads import RewardPredictionLayer
from workflow_scripts.lib.rewards.training import train_step

from .bench_c6_scoring import make_encoder, make_part
from .common import compare, report, scratch

IMAGES, BATCH, GOAL = 64, 64, 2000


def epoch_of(features_of: Callable[[], Tensor]) -> Callable[[], float]:
    """Trains a head of its own for an epoch on `features_of()` at each call; returns the mean loss."""
    torch.manual_seed(0)
    head = RewardPredictionLayer(1536, dropout=0.0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4, weight_decay=1e-2, fused=True)
    targets = (torch.arange(IMAGES) % 2).float()

    def epoch() -> float:
        batches = zip(features_of().split(BATCH), targets.split(BATCH), strict=True)
        losses = [train_step(head, optimizer, features, labels, "bce") for features, labels in batches]
        return torch.stack(losses).mean().item()

    return epoch


def main() -> None:
    torch.set_num_threads(1)
    with scratch() as folder:
        encoder, part = make_encoder(folder), make_part(folder, IMAGES)

        def encode() -> Tensor:
            return encode_part(encoder, part, 32)["features"]

        cache = folder / "features.safetensors"
        write_features(cache, encode(), encoder="vit", fingerprint="", images=folder / "part0.json")
        cached = epoch_of(lambda: read_features(cache, folder / "part0.json", "pt")[0])
        encoded = epoch_of(encode)
        options = {"goal": GOAL, "speedup": True, "rounds": 5, "same": lambda a, b: math.isclose(a, b, rel_tol=1e-3)}
        results = [
            compare("re-encoding / cached features", cached, encoded, clock=clock, **options)
            for clock in ("cpu", "wall")
        ]
        report("c5_head_epoch", results, images=IMAGES, batch=BATCH, arithmetic_bound=8.7e9 / 35.4e6)


if __name__ == "__main__":
    main()
