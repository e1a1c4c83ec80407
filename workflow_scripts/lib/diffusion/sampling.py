"""Sampling: every image from its own seed, so that neither batch size nor resumption changes it."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..batches import FittingBatches
from ..overlap import behind, mapped
from ..progress import Progress
from ..seeds import seed_of
from ..shards import ImageRecord, ShardWriter, committed, encode, key_of, write_part

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from diffusers import DiffusionPipeline
    from torch import Tensor

PIXELS_AT_ONCE = 4 * 1024**2
"""Of a VAE in half precision. Its widest layer, 256 channels in full size, then has 2^30 numbers in 2 GB; twice as many
would be one more than indices of 32 bits reach, where some kernels of CUDA and cuDNN are slow or missing."""


@dataclass(frozen=True)
class SamplingSettings:
    """How images, or clips of `num_frames`, are drawn; `eta` is DDIM's and ignored by other schedulers."""

    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    eta: float = 0.0
    num_frames: int | None = None
    prompt_suffix: str = ""

    def call_arguments(self) -> dict:
        """Keyword arguments of a pipeline's call; not every pipeline knows `eta` and `num_frames`."""
        optional = ("eta", "num_frames")
        arguments = asdict(self)
        del arguments["prompt_suffix"]
        return {name: value for name, value in arguments.items() if name not in optional or value}


@dataclass(frozen=True)
class Request:
    """One image to draw: the k-th of a prompt, from this seed."""

    prompt_id: int
    prompt: str
    k: int
    seed: int


def requests_for(prompts: pd.DataFrame, samples_per_prompt: int, seed: int, stream: str) -> list[Request]:
    """The images of these prompts (columns prompt_id, prompt), prompt by prompt."""
    return [
        Request(row.prompt_id, row.prompt, k, seed_of(seed, stream, row.prompt, k))
        for row in prompts.itertuples()
        for k in range(samples_per_prompt)
    ]


def sample_part(
    pipeline: DiffusionPipeline,
    shards: list[list[Request]],
    settings: SamplingSettings,
    batch_size: int,
    out: Path,
    fingerprint: str,
) -> None:
    """Draw the images of each shard not yet committed beside `out`, then write `out`, the part that lists them."""
    entries, bar = [], Progress(sum(map(len, shards)), "sampling")
    at_once = max(1, batch_size // (settings.num_frames or 1))  # a clip counts as its frames
    batches = FittingBatches(at_once, "images", "counts.sampling_batch_size")
    for number, requests in enumerate(shards):
        name = f"{out.stem}-shard{number:05d}"
        entry = committed(out.parent, name, fingerprint)
        if entry is None:
            with ShardWriter(out.parent, name, fingerprint) as writer:
                entry = _sample_shard(pipeline, requests, settings, batches, writer, bar)
        else:
            bar.skip(len(requests))
        entries.append(entry)
    bar.close()
    frames = {"frames": settings.num_frames} if settings.num_frames else {}
    write_part(out, entries, fingerprint, sampling=settings.call_arguments(), **frames)


def _sample_shard(pipeline, requests: list[Request], settings, batches, writer: ShardWriter, bar: Progress) -> dict:
    """Draw and commit a shard; a batch is fetched from the GPU, encoded and written while the next one is drawn."""
    with behind() as later:
        for places, drawn in batches.map(lambda part: sample(pipeline, requests[part], settings), len(requests)):
            later(_write, writer, requests[places], *drawn, bar)
    return writer.commit()


def _write(writer: ShardWriter, requests: list[Request], images: Tensor, latents: Tensor | None, bar: Progress) -> None:
    import torch

    latents = [None] * len(requests) if latents is None else latents.cpu()
    encoded = mapped(encode, images.cpu().numpy(), torch.get_num_threads())
    for request, data, latent in zip(requests, encoded, latents, strict=True):
        key = key_of(request.prompt_id, request.k)
        record = ImageRecord(key, None, request.prompt_id, request.k, request.prompt, request.seed)
        writer.add_encoded(record, data, latent)
    bar.advance(len(requests))


def sample(
    pipeline: DiffusionPipeline, requests: list[Request], settings: SamplingSettings
) -> tuple[Tensor, Tensor | None]:
    """Images (B, H, W, 3) uint8 and the final latents (B, C, h, w) float32, as the denoiser sees them (scaled).

    Both are on the pipeline's device, which may not have finished them: the caller need not wait. Clips are
    (B, F, H, W, 3), their latents (B, C, F, h, w). Of pipelines that draw references only, no latents.
    """
    import torch

    prompts = [request.prompt + settings.prompt_suffix for request in requests]
    generator = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
    if type(pipeline).__name__ == "QwenImagePipeline":
        return _sample_qwen_image(pipeline, prompts, generator, settings), None
    with torch.inference_mode(), noise_of_frames(pipeline.scheduler, settings.num_frames):
        latents = pipeline(
            **encode_prompts(pipeline, prompts, settings.guidance_scale > 1),
            generator=generator,
            output_type="latent",
            **settings.call_arguments(),
        )[0]
        return decode(pipeline, latents), latents.float()


def _sample_qwen_image(pipeline, prompts: list[str], generator: list, settings: SamplingSettings) -> Tensor:
    """Images (B, H, W, 3) uint8 by Qwen-Image's own call, whose guidance is called true and needs a negative prompt."""
    import torch

    from ..pixels import to_uint8

    arguments = settings.call_arguments()
    about = {"true_cfg_scale": arguments.pop("guidance_scale"), "negative_prompt": [" "] * len(prompts)}
    with torch.inference_mode():
        return to_uint8(pipeline(prompt=prompts, generator=generator, output_type="pt", **about, **arguments)[0])


def encode_prompts(pipeline: DiffusionPipeline, prompts: list[str], guided: bool) -> dict[str, Tensor]:
    """Prompt embeddings as the pipeline's call takes them; a prompt that occurs several times is encoded once."""
    unique = list(dict.fromkeys(prompts))
    index = [unique.index(prompt) for prompt in prompts]
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    same = {"prompt_2": None, "prompt_3": None} if hasattr(pipeline, "text_encoder_3") else {}  # SD3 wants them said
    embeddings = pipeline.encode_prompt(
        prompt=unique, **same, device=pipeline.device, num_images_per_prompt=1, do_classifier_free_guidance=guided
    )
    return {name: value[index] for name, value in zip(names, embeddings, strict=False) if value is not None}


def decode(pipeline: DiffusionPipeline, latents: Tensor) -> Tensor:
    """Latents (B, C, h, w), scaled, to images (B, H, W, 3) uint8; of clips (B, C, F, h, w) to (B, F, H, W, 3)."""
    import torch

    if latents.ndim == 5:
        frames = decode(pipeline, latents.transpose(1, 2).flatten(0, 1))
        return frames.unflatten(0, (len(latents), -1))
    height, width = (side * pipeline.vae_scale_factor for side in latents.shape[-2:])
    parts = latents.split(images_at_once(pipeline.vae.dtype, height, width))
    return torch.cat([_decode(pipeline, part) for part in parts])


def images_at_once(dtype: torch.dtype, height: int, width: int) -> int:
    """Images of this size in pixels that a VAE takes together: its activations fill a GPU, in float32 twice as fast."""
    return max(1, PIXELS_AT_ONCE * 2 // (dtype.itemsize * height * width))


def _decode(pipeline: DiffusionPipeline, latents: Tensor) -> Tensor:
    import torch

    from ..pixels import to_uint8

    config = pipeline.vae.config
    latents = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
    with torch.inference_mode():
        return to_uint8(pipeline.vae.decode(latents.to(pipeline.vae.dtype)).sample.float() / 2 + 0.5)


@contextlib.contextmanager
def noise_of_frames(scheduler, num_frames: int | None) -> Iterator[None]:
    """Let a clip's own generator draw the noise of all its frames when the sampler adds noise (eta > 0).

    Diffusers' video pipeline lays the frames of all clips in a row for the scheduler, with one generator per clip.
    """
    step = scheduler.step

    @functools.wraps(step)  # the pipeline looks at the arguments that `step` takes
    def step_of_frames(*args, generator=None, **kwargs):
        return step(*args, generator=[one for one in generator for _ in range(num_frames)], **kwargs)

    if num_frames and "generator" in inspect.signature(step).parameters:
        scheduler.step = step_of_frames
    try:
        yield
    finally:
        scheduler.__dict__.pop("step", None)
