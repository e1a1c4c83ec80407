"""What makes networks faster on a GPU and changes results by rounding alone."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

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


def one_attention_kernel() -> AbstractContextManager[None]:
    """Attention by the same kernel with gradients as without: FlashAttention, or the first of the others that can.

    torch prefers cuDNN on an H100, which plans anew where the backward pass wants more of it. The context has to last
    until that pass has ended: checkpointed blocks compute their attention in it. On a CPU nothing changes.
    """
    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(kernels, set_priority=True)
