"""The trained denoiser and its frozen reference: a full copy, or the same network with its adapter switched off."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator

import torch
import torch.utils.checkpoint
from torch import Tensor, nn

from ..diffusion.acceleration import use_channels_last
from .settings import OptimiserSettings

JOINT = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"]
LORA_TARGETS = {
    None: ["to_k", "to_q", "to_v", "to_out.0"],
    "attn": [f"attn.{name}" for name in JOINT],  # SD3's joint attention of image and text, as Flow-GRPO
    "attn_and_attn2": [f"attn.{name}" for name in JOINT] + [f"attn2.{name}" for name in JOINT[:4]],  # and of the image
}
"""Ends of the names of adapted layers, by `lora_targets`."""


class Denoiser:
    """A UNet or transformer in training: all its weights, or adapters on its attention projections."""

    def __init__(self, model: nn.Module, settings: OptimiserSettings, needs_reference: bool) -> None:
        self.model, self.network, self.lora = model, model, settings.scope == "lora"
        self._exact: dict[str, Tensor] = {}
        self._reference = (
            copy.deepcopy(model).requires_grad_(False).eval() if needs_reference and not self.lora else None
        )
        if self.lora:
            rank = settings.lora_rank
            self._add_adapter(rank, settings.lora_alpha or rank, LORA_TARGETS[settings.lora_targets])
        if settings.gradient_checkpointing:
            _checkpoint(model)
        model.requires_grad_(not self.lora).train()
        _drop_nothing(model)
        if self.lora:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_("lora_" in name)

    def _add_adapter(self, rank: int, alpha: float, targets: list[str]) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=targets)
        inject_adapter_in_model(config, self.model)  # not every network of diffusers has `add_adapter`

    def trained(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name."""
        return {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}

    @torch.no_grad()
    def predict_reference(self, *args, **kwargs) -> Tensor:
        """The reference's prediction."""
        with self._as_reference() as model:
            return predict(model, *args, **kwargs)

    @contextlib.contextmanager
    def _as_reference(self) -> Iterator[nn.Module]:
        if self._reference is not None:
            yield self._reference
            return
        self._enable_adapters(False)
        try:
            yield self.model
        finally:
            self._enable_adapters(True)

    def _enable_adapters(self, enabled: bool) -> None:
        for layer in _adapters(self.model):
            layer.enable_adapters(enabled)

    def use_reference(self, model: nn.Module) -> None:
        """Hold the policy to another network than the one it starts from."""
        self._reference = model.requires_grad_(False).eval()

    def prepare(self, accelerator) -> None:
        """Move to the accelerator's device; `network` is then what training calls (DDP on several GPUs)."""
        if accelerator.mixed_precision == "bf16":
            self._exact = round_frozen(self.model, torch.bfloat16)
            for layer in _adapters(self.model):
                layer.cast_input_dtype_enabled = False  # to float32 and, by autocast, back again
            if self._reference is not None:
                round_frozen(self._reference, torch.bfloat16, keep=False)
        if accelerator.device.type == "cuda":  # both alike, so that their predictions are
            for network in filter(None, (self.model, self._reference)):
                use_channels_last(network)
        self.network = accelerator.prepare(self.model)
        if self._reference is not None:
            self._reference.to(accelerator.device)

    def merged(self) -> nn.Module:
        """The trained network as an ordinary one, adapters folded into the weights as they were loaded."""
        for name, weight in self._exact.items():
            parameter = self.model.get_parameter(name)
            parameter.data = weight.to(parameter.device)
        if self.lora:
            from diffusers.utils.peft_utils import recurse_remove_peft_layers

            for layer in _adapters(self.model):
                layer.merge()
            recurse_remove_peft_layers(self.model)
        return self.model.eval()


def round_frozen(model: nn.Module, dtype: torch.dtype, *, keep: bool = True) -> dict[str, Tensor]:
    """Hold frozen weights of linear layers and convolutions in `dtype`; with `keep`, by name on the CPU, as they were.

    Autocast rounds exactly these at every call, so predictions stay the same, bit by bit, without the rounding and in
    half the memory.
    """
    exact = {}
    for place, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            for name, parameter in module.named_parameters(place, recurse=False):
                if not parameter.requires_grad:
                    if keep:
                        exact[name] = parameter.data.cpu()
                    parameter.data = parameter.data.to(dtype)
    return exact


def _adapters(model: nn.Module) -> list:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _checkpoint(model: nn.Module) -> None:
    """Compute activations anew in the backward pass; for video UNets diffusers cannot do it by itself."""
    if model._supports_gradient_checkpointing:
        model.enable_gradient_checkpointing()
        return
    for block in (*model.down_blocks, model.mid_block, *model.up_blocks):
        block.forward = functools.partial(torch.utils.checkpoint.checkpoint, block.forward, use_reentrant=False)


def _drop_nothing(model: nn.Module) -> None:
    """Errors of policy and reference, of best and worst are compared: dropout of video UNets would hide differences."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def predict(
    model: nn.Module,
    noisy: Tensor,
    timesteps: Tensor,
    prompt_embeds: Tensor,
    pooled_prompt_embeds: Tensor | None = None,
    time_ids: Tensor | None = None,
) -> Tensor:
    """The network's prediction (B, C, h, w) or (B, C, F, h, w) at `timesteps` (B,), given `prompt_embeds` (B, L, D).

    SD3 also takes `pooled_prompt_embeds` (B, P), SDXL these and `time_ids` (B, 6): original size, crop and target size
    in pixels.
    """
    if pooled_prompt_embeds is not None and time_ids is None:
        return model(noisy, prompt_embeds, pooled_prompt_embeds, timesteps).sample
    added = {"text_embeds": pooled_prompt_embeds, "time_ids": time_ids}
    options = {} if time_ids is None else {"added_cond_kwargs": added}  # video UNets do not know the argument
    return model(noisy, timesteps, prompt_embeds, **options).sample
