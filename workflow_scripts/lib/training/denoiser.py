"""The trained denoiser and its frozen reference: a full copy, or the same network with its adapter switched off."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
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
            unet.enable_gradient_checkpointing()
        unet.requires_grad_(not self.lora).train()
        if self.lora:
            for name, parameter in unet.named_parameters():
                parameter.requires_grad_("lora_" in name)

    def _add_adapter(self, rank: int) -> None:
        from peft import LoraConfig

        self.unet.add_adapter(
            LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=LORA_TARGETS)
        )

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
        self.unet.disable_adapters()
        try:
            yield self.unet
        finally:
            self.unet.enable_adapters()

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
            self.unet.fuse_lora()
            self.unet.unload_lora()
        return self.unet.eval()


def predict(
    unet: nn.Module,
    noisy: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    pooled_prompt_embeds: Tensor | None = None,
    time_ids: Tensor | None = None,
) -> Tensor:
    """The network's prediction (B, C, h, w) of noise at `timesteps` (B,), given `prompt_embeds` (B, L, D).

    SDXL also takes `pooled_prompt_embeds` (B, P) and `time_ids` (B, 6): original size, crop and target size in pixels.
    """
    added = None if time_ids is None else {"text_embeds": pooled_prompt_embeds, "time_ids": time_ids}
    return unet(noisy, timesteps, prompt_embeds, added_cond_kwargs=added).sample
