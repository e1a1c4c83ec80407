"""The layers of GAN-RM as they run, to be held against Tab. 6 of arXiv 2506.13846."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError
from .encoders import concatenate
from .reward_heads import RewardPredictionLayer

FROZEN = "frozen"
BETWEEN = ("encoder", "cls", "mean", "features", "residual")
"""Steps that are no modules of the head."""


def run_layers() -> dict[str, Tensor]:
    """The head of Tab. 6 on a CLIP ViT-B/32, without weights: the output of every step for one image, by name.

    Outputs are tensors on the meta device with a batch dimension of 1.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    outputs: dict[str, Tensor] = {}
    with torch.device("meta"), torch.no_grad():
        encoder = CLIPVisionModel(CLIPVisionConfig()).eval()  # transformers' defaults are ViT-B/32 at 224 pixels
        head = RewardPredictionLayer().eval()
        for name, module in head.named_modules():
            module.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        tokens = encoder(torch.empty(1, 3, 224, 224)).last_hidden_state
        features = concatenate(tokens)
        head.out.register_forward_pre_hook(lambda _, inputs: outputs.update(residual=inputs[0]))
        head(features)
    cls, mean = features.chunk(2, dim=1)
    return {"encoder": tokens, "cls": cls, "mean": mean, "features": features, **outputs}


def described(step: str) -> tuple[str | None, int | str]:
    """What a step of `run_layers` is (None for steps that are no modules) and the number of its trained parameters."""
    if step in BETWEEN:
        return None, FROZEN if step == "encoder" else 0
    with torch.device("meta"):
        module = RewardPredictionLayer().get_submodule(step)
    rate = f"({module.p:g})" if isinstance(module, nn.Dropout) else ""
    return type(module).__name__ + rate, sum(one.numel() for one in module.parameters())


def checked(layers: Sequence[dict]) -> Iterator[dict]:
    """The rows of an architecture table as they run; UserError that names every layer that differs."""
    outputs = run_layers()
    differing = []
    for number, layer in enumerate(layers, start=1):
        if layer["module"] not in outputs:
            raise UserError(
                f"layer {number} names module '{layer['module']}'; known: {', '.join(filter(None, outputs))}"
            )
        shape, (module, count) = list(outputs[layer["module"]].shape[1:]), described(layer["module"])
        found = (module or layer["layer"], shape, count)
        if found != (layer["layer"], layer["shape"], layer["parameters"]):
            said = f"{layer['layer']} with shape {layer['shape']} and {layer['parameters']} parameters"
            differing.append(f"layer {number} is {found[0]} with shape {shape} and {count} parameters, not {said}")
        yield {"number": number, "layer": layer["layer"], "from": layer["from"], "shape": shape, "parameters": count}
    if differing:
        raise UserError("the code departs from the table: " + "; ".join(differing))
