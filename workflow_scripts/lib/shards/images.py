"""One image: what is known of it, and its lossless bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class ImageRecord:
    """Image `k` of its prompt, RGB as PIL image or uint8 array (H, W, 3); `seed` makes it again."""

    key: str
    image: Image.Image | np.ndarray | None
    prompt_id: int
    k: int
    prompt: str
    seed: int


def key_of(prompt_id: int, k: int) -> str:
    """The key of image `k` of a prompt; keys sort as (prompt_id, k)."""
    return f"{prompt_id:06d}-{k:02d}"


def encode(image: Image.Image | np.ndarray) -> bytes:
    """WebP-lossless bytes of an RGB image; method 0 and quality 0 are the least effort: faster than PNG and smaller."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        if image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        image = Image.fromarray(image)
    if image.mode != "RGB":
        raise ValueError(f"an image must be RGB, not {image.mode}")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, method=0, quality=0)
    return buffer.getvalue()


def decode(data: bytes | memoryview) -> np.ndarray:
    """The uint8 array (H, W, 3) that `encode` was given."""
    import numpy as np
    from PIL import Image

    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
