"""C8: lossless encoding of images against PIL's PNG as it comes: time and bytes.

The photograph is the one that matplotlib carries. Two cases without a goal show where the gain ends: noise that looks
natural to no codec, and images so small that the calls cost more than the pixels.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from workflow_scripts.lib.shards import decode, encode

from .common import Comparison, compare, compare_numbers, report


def photographs(size: int) -> list[Image.Image]:
    """The photograph as square of `size` and turned and mirrored: four images."""
    from matplotlib.cbook import get_sample_data

    photo = Image.open(get_sample_data("grace_hopper.jpg")).convert("RGB").crop((0, 0, 512, 512))
    photo = photo.resize((size, size), Image.Resampling.LANCZOS) if size != 512 else photo
    return [photo] + [photo.transpose(turn) for turn in list(Image.Transpose)[:3]]


def clouds(size: int) -> list[Image.Image]:
    """Noise with the spectrum of natural images."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))) + 1 / size
    noise = np.random.default_rng(0).standard_normal((3, size, size))
    waves = np.fft.ifft2(np.fft.fft2(noise) / frequency**1.5).real.transpose(1, 2, 0)
    return [Image.fromarray((255 * (waves - waves.min()) / np.ptp(waves)).astype(np.uint8))]


def encode_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def compare_codecs(what: str, images: list[Image.Image], *, goals: bool, repeat: int = 1) -> list[Comparison]:
    """Speed-up and ratio of bytes; every round asserts that both sides decode to the image."""

    def same(ours: list[bytes], theirs: list[bytes]) -> bool:
        triples = zip(images, ours, theirs, strict=True)
        return all((decode(a) == image).all() and (decode_png(b) == image).all() for image, a, b in triples)

    ours, theirs = ([codec(image) for image in images] for codec in (encode, encode_png))
    speed = compare(
        f"{what}, speed-up",
        lambda: [[encode(image) for image in images] for _ in range(repeat)][-1],
        lambda: [[encode_png(image) for image in images] for _ in range(repeat)][-1],
        same=same,
        goal=4 if goals else None,
        speedup=True,
    )
    sizes = (sum(map(len, ours)), sum(map(len, theirs)))
    return [speed, compare_numbers(f"{what}, size", *sizes, "bytes", goal=0.95 if goals else None)]


def main() -> None:
    results = compare_codecs("photograph 512", photographs(512), goals=True)
    results += compare_codecs("photograph 256", photographs(256), goals=True)
    results += compare_codecs("clouds 512", clouds(512), goals=False)
    results += compare_codecs("photograph 32", photographs(32), goals=False, repeat=20)
    report("c8_encoding", results)


if __name__ == "__main__":
    main()
