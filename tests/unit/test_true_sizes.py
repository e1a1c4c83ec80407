"""Every network of the registry at its true size, built without memory: parameters against the published number."""

import pytest
import torch

from tests.large.architectures import NETWORKS, unet_3d
from workflow_scripts.lib.training.denoiser import Denoiser, predict
from workflow_scripts.lib.training.settings import OptimiserSettings

SHAPES = {  # of latents and captions, of 512 pixels, SDXL's 1,024
    "sd15_unet": ((4, 64, 64), {"prompt_embeds": (77, 768)}),
    "sdxl_unet": (
        (4, 128, 128),
        {"prompt_embeds": (77, 2048), "pooled_prompt_embeds": (1280,), "time_ids": (6,)},
    ),
    "sd3_transformer": ((16, 64, 64), {"prompt_embeds": (333, 4096), "pooled_prompt_embeds": (2048,)}),
    "videocrafter2": ((4, 16, 40, 64), {"prompt_embeds": (77, 1024)}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_as_many_as_published(name):
    network = NETWORKS[name]
    with torch.device("meta"):
        module = network.build()
    assert network.parameters(module) == pytest.approx(network.published, abs=network.to)


@pytest.mark.parametrize(
    ("name", "training"),
    [(name, {}) for name in SHAPES]
    + [("sd15_unet", {"scope": "lora", "lora_rank": 4})]
    + [
        ("sd3_transformer", {"scope": "lora", "lora_rank": 32, "lora_targets": one})
        for one in ("attn", "attn_and_attn2")
    ],
)
def test_every_trained_weight_has_a_gradient(name, training):
    """DDP waits for one of each, and is not told to look for weights without."""
    shape, text = SHAPES[name]
    with torch.device("meta"):
        network = unet_3d() if name == "videocrafter2" else NETWORKS[name].build()  # as it is loaded
        denoiser = Denoiser(network, OptimiserSettings(1e-4, gradient_checkpointing=True, **training), False)
        noisy, timesteps = torch.empty(2, *shape), torch.empty(2)
        predicted = predict(network, noisy, timesteps, **{part: torch.empty(2, *one) for part, one in text.items()})
    predicted.square().mean().backward()
    assert predicted.shape == noisy.shape
    assert denoiser.trained() and all(weight.grad is not None for weight in denoiser.trained().values())
