"""I3D (Carreira & Zisserman, arXiv 1705.07750), the RGB network trained on Kinetics-400, behind the FVD.

Names are those of pytorch-i3d's weights (i3d_pretrained_400.pt, which cd-fvd takes), so they load as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, pad, relu

from ..errors import UserError
from ..pickles import read_tensors

# Channels of the branches of each Inception module: 1×1; 1×1 and 3×3; 1×1 and 3×3; pooled 1×1.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
POOLS = {"Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}  # kernel, stride before the module


def same_padding(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """TensorFlow's SAME padding of (B, C, F, H, W): as many outputs as ceil(size / stride), the odd zero at the end."""
    amounts = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max(k - (s if size % s == 0 else size % s), 0)
        amounts += [total // 2, total - total // 2]
    return pad(x, amounts)


def pool(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Max pooling with SAME padding by zeros; activations are not negative."""
    return max_pool3d(same_padding(x, kernel, stride), kernel, stride)


class Unit(nn.Module):
    """Convolution with SAME padding, batch normalisation, ReLU; the last unit has a bias instead."""

    def __init__(self, inputs: int, outputs: int, size: int = 1, stride: int = 1, last: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = (size,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, self.kernel, self.stride, bias=last)
        if not last:
            self.bn = nn.BatchNorm3d(outputs)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(same_padding(x, self.kernel, self.stride))
        return x if self.last else relu(self.bn(x))


class Mixed(nn.Module):
    """An Inception module: four branches, joined."""

    def __init__(self, inputs: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = Unit(inputs, sizes[0])
        self.b1a, self.b1b = Unit(inputs, sizes[1]), Unit(sizes[1], sizes[2], 3)
        self.b2a, self.b2b = Unit(inputs, sizes[3]), Unit(sizes[3], sizes[4], 3)
        self.b3b = Unit(inputs, sizes[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class I3D(nn.Module):
    """Clips (B, 3, F, 224, 224) in [-1, 1] to logits (B, 400), averaged over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7, self.Conv3d_2b_1x1 = Unit(3, 64, 7, 2), Unit(64, 64)
        self.Conv3d_2c_3x3, inputs = Unit(64, 192, 3), 192
        for name, sizes in MIXED.items():
            self.add_module(name, Mixed(inputs, sizes))
            inputs = sizes[0] + sizes[2] + sizes[4] + sizes[5]
        self.logits = Unit(inputs, 400, last=True)

    def forward(self, x: Tensor) -> Tensor:
        x = pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            x = pool(x, *POOLS[name]) if name in POOLS else x
            x = self.get_submodule(name)(x)
        x = nn.functional.avg_pool3d(x, (2, 7, 7), stride=1)
        return self.logits(x).flatten(2).mean(dim=2)


def load_i3d(weights: Path) -> I3D:
    """The network with the weights of a .pt file, in eval mode; UserError for another file."""
    model = I3D()
    try:
        model.load_state_dict(read_tensors(weights))
    except RuntimeError as error:
        raise UserError(f"{weights} does not hold I3D's weights ({error}); download it anew") from error
    return model.eval().requires_grad_(False)
