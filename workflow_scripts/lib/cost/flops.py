"""FLOPs of the registry's models, counted by PyTorch on networks without weights (a multiply-add is two).

What is counted: matrix products, convolutions and attention. Norms, activations and resizing are not; they take time,
but few FLOPs. `python -m workflow_scripts.count_flops` keeps the numbers in config/flops.json, so that planning needs
no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, empty, nn
from torch.utils.flop_counter import FlopCounterMode

from . import architectures as a
from .published_sizes import CLIP_G_TEXT, CLIP_L_TEXT, MODELSCOPE_TEXT, SD3_VAE, SD15_VAE

Counted = dict[str, int]


@dataclass(frozen=True)
class Generator:
    """How a pipeline's parts are called on one sample; `vae` encodes and decodes images of `size` (height, width)."""

    denoiser: Callable[[], tuple[nn.Module, Callable[[nn.Module], Tensor]]]
    vae: Callable[[], nn.Module]
    latent: tuple[int, ...]
    size: tuple[int, int]
    texts: Sequence[Callable[[], Tensor]]
    trained: Sequence[str] = ()


@dataclass(frozen=True)
class Judge:
    """An encoder's or scorer's networks on one image, or clip, and, where it reads them, on one text."""

    image: Sequence[Callable[[], Tensor]]
    text: Callable[[], Tensor] | None = None
    features: int = 0


def clip_judge(name: str, features: int = 0) -> Judge:
    """A scorer by a CLIP."""
    return Judge([partial(a.clip_image, name)], partial(a.clip_prompt, name), features)


SD_VAE, TEXT = partial(a.autoencoder, SD15_VAE), partial(partial, a.clip_text)
GENERATORS = {
    "sd15": Generator(a.sd15, SD_VAE, (4, 64, 64), (512, 512), [TEXT(CLIP_L_TEXT)], ["full"]),
    "sdxl": Generator(a.sdxl, SD_VAE, (4, 128, 128), (1024, 1024), [TEXT(CLIP_L_TEXT), TEXT(CLIP_G_TEXT)], ["full"]),
    "videocrafter2": Generator(a.videocrafter2, SD_VAE, (4, 16, 40, 64), (320, 512), [TEXT(MODELSCOPE_TEXT)], ["full"]),
    "sd3": Generator(
        a.sd3,
        partial(a.autoencoder, SD3_VAE),
        (16, 64, 64),
        (512, 512),
        [TEXT(CLIP_L_TEXT), TEXT(CLIP_G_TEXT), a.t5_text],
        ["lora"],
    ),
    "qwen_image": Generator(a.qwen_image, a.autoencoder_qwen, (16, 64, 64), (512, 512), [a.qwen_text]),
}
"""By entry of models.yaml; the text embeddings of a prompt are those that the denoiser takes."""

B32, L14 = "clip_vit_b32", "clip_vit_l14"
JUDGES = {
    "clip_vit_b32_tokens": Judge([partial(a.clip_tokens, B32)], None, 1536),
    "clip_vit_b32_tokens_text": clip_judge(B32, 2048),
    "clip_vit_b32_embeddings": Judge([partial(a.clip_image, B32)], None, 512),
    "clip_vit_b32_score": clip_judge(B32),
    "clip_vit_l14_score": clip_judge(L14),
    "pickscore_v1": clip_judge("clip_vit_h14"),
    "hps_v2": clip_judge("clip_vit_h14"),
    "imagereward_v1": Judge([a.image_reward]),
    "image_similarity": Judge([partial(a.clip_image, L14)]),
    "q16": Judge([partial(a.clip_image, L14)]),
    "inappropriate": Judge([partial(a.clip_image, L14)]),
    "inception_fid": Judge([a.inception], None, 2048),
    "viclip_b16_tokens": Judge([a.viclip], None, 1536),
    "i3d_kinetics400": Judge([a.i3d], None, 400),
    "lpips_alex": Judge([a.lpips]),
    "dino_consistency": Judge([a.dino_frames]),
    "dinov2_b14": Judge([a.dinov2], None, 1536),
    "dino_similarity": Judge([a.dinov2]),
    "siglip_b16_512": Judge([a.siglip], None, 1536),
    "geneval": Judge([a.mask2former, partial(a.clip_image, L14)]),
}
"""By entry of models.yaml. GenEval's colours are one CLIP crop an image; NudeNet and OCR are ONNX on the CPU."""


def count_all() -> dict[str, dict[str, Counted]]:
    """FLOPs of all generators and judges, by registry entry."""
    return {
        "generators": {name: count_generator(one) for name, one in GENERATORS.items()},
        "judges": {name: count_judge(one) for name, one in JUDGES.items()},
    }


def count_generator(generator: Generator) -> Counted:
    """Of one sample: a forward pass, training, text, VAE; and how many numbers its weights and latents have."""
    with torch.device("meta"):
        network, call = generator.denoiser()
        return {
            "denoiser": flops_of(lambda: call(network)),
            **{f"trained_{scope}": _trained(generator, scope) for scope in generator.trained},
            "text": sum(map(flops_of, generator.texts)),
            **_vae(generator),
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "latent": torch.Size(generator.latent).numel(),
        }


def count_judge(judge: Judge) -> Counted:
    """Of one image or clip, of one text, and the numbers in its features."""
    with torch.device("meta"):
        image = sum(map(flops_of, judge.image))
        return {"image": image, "text": flops_of(judge.text) if judge.text else 0, "features": judge.features}


def flops_of(call: Callable[[], Tensor]) -> int:
    """FLOPs of a call. With gradients, as fused inference kernels of attention layers would escape the count."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def _trained(generator: Generator, scope: str) -> int:
    """Forward and backward pass of one sample with the weights of a scope trainable, nothing computed twice."""
    from ..training.denoiser import Denoiser
    from ..training.settings import OptimiserSettings

    network, call = generator.denoiser()
    adapters = {"lora_rank": a.LORA_RANK, "lora_targets": "attn"} if scope == "lora" else {}
    denoiser = Denoiser(network, OptimiserSettings(0.0, scope=scope, **adapters), needs_reference=False)
    return flops_of(lambda: call(denoiser.network).sum().backward())


def _vae(generator: Generator) -> Counted:
    """Encoding and decoding one image, or one frame of a clip."""
    vae, channels = generator.vae(), generator.latent[0]
    height, width = generator.size
    frames = (1,) if isinstance(vae.config.get("temperal_downsample"), (list, tuple)) else ()
    image, latent = empty(1, 3, *frames, height, width), empty(1, channels, *frames, height // 8, width // 8)
    return {"encode": flops_of(lambda: vae.encode(image)), "decode": flops_of(lambda: vae.decode(latent))}
