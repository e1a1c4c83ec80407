"""What makes networks faster on a GPU and changes results by rounding alone."""

from __future__ import annotations

import torch
from torch import nn

REPEATED_BLOCKS = {"BasicTransformerBlock", "JointTransformerBlock", "QwenImageTransformerBlock"}
"""Of UNets, SD3 and Qwen-Image, by the names of diffusers' classes, whose own list lacks SD3's."""


def use_channels_last(network: nn.Module) -> nn.Module:
    """Lay the weights of 2-D convolutions out as tensor cores read them; what passes through takes the same layout.

    Those of video networks' 3-D convolutions have five dimensions and stay as they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    return network


def compile_blocks(network: nn.Module, **options) -> None:
    """Compile the blocks that a network repeats: one compilation serves all of a shape, so it takes a minute or two.

    `options` are those of `torch.compile`. A network without such blocks stays as it is.
    """
    for module in network.modules():
        if type(module).__name__ in REPEATED_BLOCKS:
            module.compile(**options)
