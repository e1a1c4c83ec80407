"""H5: the share of time in which the GPU does nothing while images are sampled, encoded, written and scored.

python -m tests.benchmarks.bench_h5_idle [--small] [--rounds 5]

SD1.5 of true size in the paper's 50 steps, and the frozen encoder of GAN-RM, a ViT-B/32. The straightforward way saves
every picture as PNG before the next batch begins, reads it again and lets transformers' processor resize it. Busy is
what the profiler saw run on the GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workflow_scripts.lib.cli import run as run_cli
from workflow_scripts.lib.diffusion.sampling import sample_part
from workflow_scripts.lib.rewards.encoders import CLIPVisionTokens, concatenate, encode_part
from workflow_scripts.lib.shards import Part

from .bench_c6_scoring import save_encoder
from .bench_h1_matrix_rate import by_its_own_call, requests_of, settings_of
from .common import compared, scratch
from .gpu import Run, finished, parse, tell
from .sd_sizes import random_pipeline

NAME, GOAL, IMAGES, BATCH, STEPS, THREADS = "h5_idle", 0.02, 128, 32, 50, 8


class Chain:
    """Images of a random SD1.5 and their features, both ways; each gives features (N, 1536)."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.folder, self.count, self.batch = folder, 4 if run.small else IMAGES, 2 if run.small else BATCH
        self.pipeline = random_pipeline("sd15", run.size, run.device, run.dtype)
        self.settings = settings_of("sd15", run, STEPS)
        save_encoder(folder)
        self.encoder = CLIPVisionTokens(folder, str(run.device), run.dtype)

    def ours(self) -> Tensor:
        """By shards, written behind and decoded ahead."""
        path = self.folder / "part0.json"
        path.unlink(missing_ok=True)
        made_of = str(time.monotonic_ns())  # else the shard of the round before would do
        sample_part(self.pipeline, [requests_of(self.count)], self.settings, self.batch, path, made_of)
        return encode_part(self.encoder, Part(path), self.batch)["features"]

    def straightforward(self) -> Tensor:
        """By loose files, one after the other."""
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        paths, requests = [], requests_of(self.count)
        for start in range(0, self.count, self.batch):
            images = by_its_own_call(self.pipeline, requests[start : start + self.batch], self.settings, self.batch)
            for image in images:
                paths.append(self.folder / f"{len(paths)}.png")
                Image.fromarray(image.numpy()).save(paths[-1])
        processor, found = CLIPImageProcessorPil.from_pretrained(self.folder), []
        for start in range(0, self.count, self.batch):
            pictures = [Image.open(path) for path in paths[start : start + self.batch]]
            pixels = processor(pictures, return_tensors="pt").pixel_values
            found.append(self._features(pixels.to(self.encoder.model.device, self.encoder.model.dtype)))
        return torch.cat(found)

    @torch.inference_mode()
    def _features(self, pixels: Tensor) -> Tensor:
        return concatenate(self.encoder.model(pixels).last_hidden_state.float()).cpu()


def idle(work: Callable[[], Tensor], run: Run) -> tuple[Tensor, float, float]:
    """What the work gives, the seconds it took, and those in which nothing ran on the device."""
    from torch.profiler import ProfilerActivity, profile

    on_gpu = run.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        start = time.perf_counter()
        found = finished(work)()
        seconds = time.perf_counter() - start
    kind = torch.autograd.DeviceType.CUDA if on_gpu else torch.autograd.DeviceType.CPU
    spans = [(e.time_range.start, e.time_range.end) for e in profiler.events() if e.device_type == kind]
    return found, seconds, seconds - covered(np.array(spans, dtype=float)) / 1e6


def covered(spans: np.ndarray) -> float:
    """Length of the union of intervals (N, 2)."""
    spans = spans[spans[:, 0].argsort()]
    reached = np.maximum.accumulate(spans[:, 1])
    before = np.concatenate([[spans[0, 0]], reached[:-1]])
    return np.maximum(0, spans[:, 1] - np.maximum(spans[:, 0], before)).sum()


def main(argv: Sequence[str] | None = None) -> None:
    run = parse(__doc__, argv)
    if not run.small:
        torch.set_num_threads(THREADS)  # as the rules give jobs that encode images; they decode and encode pictures
    shares: dict[str, list[tuple[float, float]]] = {"ours": [], "straightforward": []}
    with scratch() as folder:
        chain = Chain(run, folder)
        sides = {"ours": chain.ours, "straightforward": chain.straightforward}
        if not run.small:
            for side in sides.values():  # warm-up
                side()
        for number in range(run.rounds):
            made = {}
            for side in sorted(sides, reverse=number % 2 == 1):
                made[side], *seconds = idle(sides[side], run)
                shares[side].append(tuple(seconds))
            alike = torch.nn.functional.cosine_similarity(made["ours"], made["straightforward"])
            assert alike.min() > 0.99, "the two sides made different things"
    comparisons = [
        compared(
            f"{side}: nothing runs on the GPU / wall",
            [nothing / wall for wall, nothing in seconds],
            *(statistics.median(column) for column in list(zip(*seconds, strict=True))[::-1]),
            "s",
            run.goal(GOAL) if side == "ours" else None,
            False,
        )
        for side, seconds in shares.items()
    ]
    tell(NAME, run, f"<= {GOAL}", comparisons, images=chain.count)


if __name__ == "__main__":
    run_cli(main)
