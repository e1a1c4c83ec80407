"""One image, or one clip: what is known of it, and its lossless bytes.

A clip is stored as one picture, its frames below each other; the part says how many there are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


WEBP_LIMIT = 16_383  # pixels a side


@dataclass(frozen=True)
class ImageRecord:
    """Image `k` of its prompt, RGB as PIL image or uint8 array (H, W, 3) or (F, H, W, 3); `seed` makes it again."""

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
    """WebP-lossless bytes of an image or clip; method 0, quality 0: the least effort, faster than PNG and smaller."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        if image.dtype != "uint8" or image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise ValueError(f"an image must be uint8 (H, W, 3) or (F, H, W, 3), not {image.dtype} {image.shape}")
        image = Image.fromarray(image.reshape(-1, *image.shape[-2:]))
    if max(image.size) > WEBP_LIMIT:
        raise ValueError(
            f"{image.size[0]} × {image.size[1]} pixels: WebP ends at {WEBP_LIMIT}, all frames of a clip counted"
        )
    if image.mode != "RGB":
        raise ValueError(f"an image must be RGB, not {image.mode}")
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, method=0, quality=0)
    return buffer.getvalue()


def decode(data: bytes | memoryview, frames: int | None = None) -> np.ndarray:
    """The uint8 array that `encode` was given: (H, W, 3), for a clip of so many frames (F, H, W, 3)."""
    import numpy as np
    from PIL import Image

    image = np.array(Image.open(io.BytesIO(data), formats=("WEBP",)).convert("RGB"))
    return image if frames is None else image.reshape(frames, -1, *image.shape[1:])
