"""Attention at SD3.5-M's true size: the same bits with gradients as without, which a likelihood ratio of 1 rests on."""

import pytest
import torch

from workflow_scripts.lib.diffusion.acceleration import one_attention_kernel

HEADS, WIDTH, TOKENS = 24, 64, 1024 + 333  # of 512 x 512 pixels, and of the text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; there is none")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_attention_is_bit_by_bit_the_same_with_gradients_as_without(dtype):
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (3, 16, HEADS, TOKENS, WIDTH)
    parts = torch.randn(shape, generator=generator, device="cuda").to(dtype)
    with one_attention_kernel():
        with torch.no_grad():
            rollout = torch.nn.functional.scaled_dot_product_attention(*parts)
        update = torch.nn.functional.scaled_dot_product_attention(*parts.requires_grad_())
        update.float().square().mean().backward()
    assert update.requires_grad and parts.grad.isfinite().all()
    assert torch.equal(rollout, update)
