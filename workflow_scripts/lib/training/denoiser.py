"""The trained denoiser and its frozen reference: a full copy, or the same network with its adapter switched off."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

LORA_TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]


class Denoiser:
    """A UNet in training: `scope` full trains all weights, lora adapters of `lora_rank` on attention projections."""

    def __init__(
        self, unet: nn.Module, scope: str, lora_rank: int | None, needs_reference: bool, gradient_checkpointing: bool
    ) -> None:
        self.unet, self.network, self.lora = unet, unet, scope == "lora"
        self._reference = (
            copy.deepcopy(unet).requires_grad_(False).eval() if needs_reference and not self.lora else None
        )
        if self.lora:
            self._add_adapter(lora_rank)
        if gradient_checkpointing:
            _checkpoint(unet)
        unet.requires_grad_(not self.lora).train()
        _drop_nothing(unet)
        if self.lora:
            for name, parameter in unet.named_parameters():
                parameter.requires_grad_("lora_" in name)

    def _add_adapter(self, rank: int) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=LORA_TARGETS)
        inject_adapter_in_model(config, self.unet)  # not every UNet of diffusers has `add_adapter`

    def trained(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name."""
        return {name: parameter for name, parameter in self.unet.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def predict_reference(self, *args, **kwargs) -> Tensor:
        """The reference's prediction."""
        with self._as_reference() as unet:
            return predict(unet, *args, **kwargs)

    @contextlib.contextmanager
    def _as_reference(self) -> Iterator[nn.Module]:
        if self._reference is not None:
            yield self._reference
            return
        self._enable_adapters(False)
        try:
            yield self.unet
        finally:
            self._enable_adapters(True)

    def _enable_adapters(self, enabled: bool) -> None:
        for layer in _adapters(self.unet):
            layer.enable_adapters(enabled)

    def use_reference(self, unet: nn.Module) -> None:
        """Hold the policy to another network than the one it starts from."""
        self._reference = unet.requires_grad_(False).eval()

    def prepare(self, accelerator) -> None:
        """Move to the accelerator's device; `network` is then what training calls (DDP on several GPUs)."""
        self.network = accelerator.prepare(self.unet)
        if self._reference is not None:
            self._reference.to(accelerator.device)

    def merged(self) -> nn.Module:
        """The trained network as an ordinary UNet, adapters folded in."""
        if self.lora:
            from diffusers.utils.peft_utils import recurse_remove_peft_layers

            for layer in _adapters(self.unet):
                layer.merge()
            recurse_remove_peft_layers(self.unet)
        return self.unet.eval()


def _adapters(unet: nn.Module) -> list:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in unet.modules() if isinstance(module, BaseTunerLayer)]


def _checkpoint(unet: nn.Module) -> None:
    """Compute activations anew in the backward pass; for video UNets diffusers cannot do it by itself."""
    if unet._supports_gradient_checkpointing:
        unet.enable_gradient_checkpointing()
        return
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        block.forward = functools.partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)


def _drop_nothing(unet: nn.Module) -> None:
    """Errors of policy and reference, of best and worst are compared: dropout of video UNets would hide differences."""
    for module in unet.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def predict(
    unet: nn.Module,
    noisy: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    pooled_prompt_embeds: Tensor | None = None,
    time_ids: Tensor | None = None,
) -> Tensor:
    """The network's prediction (B, C, h, w) or (B, C, F, h, w) at `timesteps` (B,), given `prompt_embeds` (B, L, D).

    SDXL also takes `pooled_prompt_embeds` (B, P) and `time_ids` (B, 6): original size, crop and target size in pixels.
    """
    added = {"text_embeds": pooled_prompt_embeds, "time_ids": time_ids}
    options = {} if time_ids is None else {"added_cond_kwargs": added}  # video UNets do not know the argument
    return unet(noisy, timesteps, prompt_embeds, **options).sample
