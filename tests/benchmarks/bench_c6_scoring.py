"""C6: scoring (decode, resize, forward) against the bare forward pass at its best batch, and against a PIL loop.

The network is a ViT-B/32 at 224 pixels with random weights, the images are 512 x 512, in shards. All sides use one
torch thread; by wall clock our decoding runs beside the network if a second core is free, by CPU time nothing is
hidden.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workflow_scripts.lib.rewards.encoders import CLIPVisionTokens, concatenate, encode_part
from workflow_scripts.lib.shards import ImageRecord, Part, ShardWriter, key_of, write_part

from .common import compare, report, scratch

IMAGES, SIZE, BATCHES = 64, 512, (8, 16, 32, 64)


def make_picture(rng: np.random.Generator) -> np.ndarray:
    """A picture with detail at every scale; about 380 KB when compressed, as a photograph of its size."""
    picture = np.full((SIZE, SIZE, 3), 128.0)
    for cells, strength in [(4, 60), (16, 40), (64, 20), (256, 6), (SIZE, 1)]:
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += strength * (np.asarray(noise.resize((SIZE, SIZE), Image.Resampling.BICUBIC)) / 128.0 - 1)
    return picture.clip(0, 255).astype(np.uint8)


def make_part(folder: Path, count: int) -> Part:
    """A part of `count` pictures."""
    rng = np.random.default_rng(0)
    with ShardWriter(folder, "shard", "benchmark") as writer:
        for i in range(count):
            writer.add(ImageRecord(key_of(i, 0), make_picture(rng), i, 0, f"prompt {i}", i))
        write_part(folder / "part0.json", [writer.commit()], "benchmark")
    return Part(folder / "part0.json")


def save_encoder(folder: Path) -> None:
    """A ViT-B/32 with random weights in a folder as the real one's."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig()).save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)


def make_encoder(folder: Path) -> CLIPVisionTokens:
    """It, loaded as the real one is."""
    save_encoder(folder)
    return CLIPVisionTokens(folder)


def bare_forward(encoder: CLIPVisionTokens, pixels: Tensor, batch: int) -> Callable[[], Tensor]:
    """The network alone, on pixels that lie ready in memory."""

    @torch.inference_mode()
    def forward() -> Tensor:
        return torch.cat([concatenate(encoder.model(chunk).last_hidden_state) for chunk in pixels.split(batch)])

    return forward


def processor_loop(encoder: CLIPVisionTokens, folder: Path, part: Part, batch: int) -> Callable[[], Tensor]:
    """What a user writes: every image through PIL's resize in transformers' processor, then the network in batches."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil.from_pretrained(folder)

    def loop() -> Tensor:
        rows = [processor(Image.fromarray(image), return_tensors="pt").pixel_values for _, image in part.images()]
        return bare_forward(encoder, torch.cat(rows), batch)()

    return loop


def fastest_batch(encoder: CLIPVisionTokens, pixels: Tensor) -> tuple[int, dict[int, float]]:
    """The batch of the fastest bare forward pass, and images per CPU-second of each."""
    rates = {}
    for batch in BATCHES:
        forward = bare_forward(encoder, pixels, batch)
        forward()
        start = time.process_time()
        forward()
        rates[batch] = len(pixels) / (time.process_time() - start)
    return max(rates, key=rates.get), rates


def close(ours: Tensor, theirs: Tensor) -> bool:
    """Equal features, up to the order of sums."""
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def similar(ours: Tensor, theirs: Tensor) -> bool:
    """PIL rounds some pixels to the neighbouring level."""
    return torch.nn.functional.cosine_similarity(ours, theirs).min().item() > 0.999


def main() -> None:
    torch.set_num_threads(1)
    with scratch() as folder:
        encoder, part = make_encoder(folder), make_part(folder, IMAGES)
        pixels = encoder.preprocess([image for _, image in part.images()])
        batch, rates = fastest_batch(encoder, pixels)

        def ours() -> Tensor:
            return encode_part(encoder, part, batch)["features"]

        bare, loop = bare_forward(encoder, pixels, batch), processor_loop(encoder, folder, part, batch)
        speedup = {"speedup": True, "rounds": 5}
        results = [
            compare("bare forward / scoring", ours, bare, goal=0.9, clock="cpu", same=close, **speedup),
            compare("bare forward / scoring", ours, bare, goal=0.9, clock="wall", same=close, **speedup),
            compare("PIL and processor / scoring", ours, loop, clock="cpu", same=similar, **speedup),
        ]
        size = (folder / "shard.tar").stat().st_size // IMAGES
        report("c6_scoring", results, images=IMAGES, bytes_per_image=size, batch=batch, bare_images_per_second=rates)


if __name__ == "__main__":
    main()
