"""Signs of reward hacking that need no model: an image that lost its scene is dark, empty and of few colours.

An optimised OCR reward blanks the background (measured for Flow-GRPO: github.com/Tencent-Hunyuan/UniRL/pull/407, which
names the three quantities; the definitions here are ours but for the threshold of dark pixels).
"""

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
DARK = 0.15
LEVELS = 8  # of each colour channel


def luminance(images: np.ndarray) -> np.ndarray:
    """Luma (B, H, W) in [0, 1] of images uint8 (B, H, W, 3)."""
    return images.astype(np.float32) @ LUMA / 255


def dark_pixels(images: np.ndarray) -> np.ndarray:
    """Share (B,) of the pixels of images uint8 (B, H, W, 3) whose luma is below 0.15."""
    return (luminance(images) < DARK).mean(axis=(1, 2))


def edge_density(images: np.ndarray) -> np.ndarray:
    """Mean absolute difference of luma between neighbouring pixels (B,): the mean of both directions, in [0, 1]."""
    luma = luminance(images)
    return sum(np.abs(np.diff(luma, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)) / 2


def colour_entropy(images: np.ndarray) -> np.ndarray:
    """Shannon entropy (B,) in bits of an image's colours, each channel in 8 levels: 0 for one colour, at most 9."""
    levels = images.astype(np.int64) * LEVELS // 256
    codes = (levels @ [LEVELS**2, LEVELS, 1]).reshape(len(images), -1)
    shares = np.stack([np.bincount(code, minlength=LEVELS**3) for code in codes]) / codes.shape[1]
    return -np.sum(shares * np.log2(shares, where=shares > 0, out=np.zeros_like(shares)), axis=1)
