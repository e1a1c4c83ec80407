"""Images to network inputs: CLIP's resize, crop and normalisation as batched tensor operations, on the CPU or a GPU.

Positives and negatives take this one path, so a reward head cannot learn the preprocessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .errors import UserError
from .files import read_json

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
MODES = {2: "bilinear", 3: "bicubic"}  # PIL's numbers, as preprocessor_config.json states them

Images = np.ndarray | Tensor | Sequence[np.ndarray]  # uint8, (B, H, W, 3) or B arrays (H, W, 3)


def to_uint8(images: Tensor) -> Tensor:
    """Float images (B, 3, H, W) in [0, 1] as uint8 (B, H, W, 3) on their device: the levels of a saved picture.

    What is scored while it is generated then has the pixels that it has when it is read from a file.
    """
    return (images.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def to_numpy(images: Images) -> np.ndarray | Sequence[np.ndarray]:
    """Images as arrays on the CPU, for what is no network."""
    return images.cpu().numpy() if isinstance(images, Tensor) else images


@dataclass(frozen=True)
class Preprocessing:
    """Resize (shortest edge, or height and width), centre crop (height, width), then (x / 255 - mean) / std."""

    size: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    mode: str = "bicubic"
    antialias: bool = True

    @classmethod
    def square(cls, size: int, **options: object) -> Preprocessing:
        """Resize the shortest edge to `size` and crop the centre square."""
        return cls(size, (size, size), **options)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Preprocessing:
        """What `preprocessor_config.json` (or `processor_config.json`) of a model folder states."""
        path = Path(folder) / "preprocessor_config.json"
        nested = Path(folder) / "processor_config.json"
        if not path.exists() and not nested.exists():
            raise UserError(
                f"{folder} holds no {path.name}: is the entry's processor missing or its download incomplete?"
            )
        config = read_json(path) if path.exists() else read_json(nested)["image_processor"]
        mode = MODES.get(config.get("resample", 3))
        if mode is None:
            raise UserError(f"{path} asks for resample {config['resample']}; known: {MODES} (PIL's numbers)")
        return cls(
            _size(config["size"]) if config.get("do_resize", True) else None,
            _crop(config["crop_size"]) if config.get("do_center_crop", "crop_size" in config) else None,
            tuple(config.get("image_mean", CLIP_MEAN)),
            tuple(config.get("image_std", CLIP_STD)),
            mode,
        )

    def __call__(
        self, images: Images, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Pixel values (B, 3, h, w) on `device`: those of CLIPImageProcessor, on a GPU within two levels of 255."""
        if isinstance(images, np.ndarray | Tensor):
            return self._batch(images, device, dtype)
        if len({image.shape for image in images}) == 1:
            return self._batch(np.asarray(images), device, dtype)
        return torch.cat([self._batch(image[None], device, dtype) for image in images])

    def _batch(self, images: np.ndarray | Tensor, device: str | torch.device, dtype: torch.dtype) -> Tensor:
        if images.ndim != 4:
            raise UserError("this model is for images, but it was given clips; choose a model of clips for them")
        pixels = torch.as_tensor(images).to(device).permute(0, 3, 1, 2)
        if self.size is not None:
            resize = resize_uint8 if self.antialias else resize_without_antialias
            pixels = resize(pixels, self._target(pixels.shape[-2:]), self.mode)
        if self.crop is not None:
            pixels = centre_crop(pixels, self.crop)
        scale = torch.tensor(self.std, device=device).mul(255).reciprocal().view(1, 3, 1, 1)
        shift = torch.tensor(self.mean, device=device).mul(255).view(1, 3, 1, 1)
        return pixels.float().sub_(shift).mul_(scale).to(dtype)

    def _target(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width after the resize; the longer edge is rounded down, as transformers does."""
        if not isinstance(self.size, int):
            return self.size
        height, width = shape
        longest = int(self.size * max(height, width) / min(height, width))
        return (self.size, longest) if height <= width else (longest, self.size)


def resize_uint8(pixels: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Antialiased resize of uint8 (B, C, H, W) to whole levels, as PIL does it: width, rounding, height, rounding."""
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    if pixels.device.type == "cpu":
        return interpolate(pixels, size=size, mode=mode, antialias=True, align_corners=False)
    return resize_in_two_passes(pixels, size, mode)


def resize_in_two_passes(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """The same for GPUs, which have no kernel for uint8: nearly everywhere equal, never more than two levels apart."""
    for shape in ((pixels.shape[-2], size[1]), size):
        resized = interpolate(pixels.float(), size=shape, mode=mode, antialias=True, align_corners=False)
        pixels = resized.round_().clamp_(0, 255).to(torch.uint8)
    return pixels


def resize_without_antialias(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize of uint8 (B, C, H, W) to whole levels from nearest pixels, as torchvision with `antialias=False`."""
    resized = interpolate(pixels.float(), size=size, mode=mode, align_corners=False)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def centre_crop(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """The central (height, width) of (B, C, H, W); UserError when the image is smaller."""
    (height, width), (rows, columns) = pixels.shape[-2:], size
    if height < rows or width < columns:
        raise UserError(f"images of {height}×{width} pixels cannot be cropped to {rows}×{columns}; enable do_resize")
    top, left = (height - rows) // 2, (width - columns) // 2
    return pixels[..., top : top + rows, left : left + columns]


def _size(value: int | dict[str, int]) -> int | tuple[int, int]:
    if isinstance(value, int):
        return value
    return value["shortest_edge"] if "shortest_edge" in value else (value["height"], value["width"])


def _crop(value: int | dict[str, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value["height"], value["width"])
