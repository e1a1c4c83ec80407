"""Latents and text embeddings of training examples."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..batches import FittingBatches
from ..diffusion.sampling import encode_prompts, images_at_once
from ..errors import UserError
from ..overlap import ahead
from ..progress import progress
from ..seeds import seed_of
from ..shards import Collection, key_of
from ..tables import read_table
from .examples import Examples

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from diffusers import DiffusionPipeline


def pairs_of(collection: Collection, selection: Path | None, first_only: bool = False) -> pd.DataFrame:
    """What to train on: columns prompt, best_key and, where there are pairs, worst_key.

    Without a selection that is image 0 of each prompt, against image 1 if there is one, unless `first_only`: reference
    images of a prompt are equals. UserError for an image without a caption.
    """
    import pandas as pd

    if selection is not None:
        return read_table(selection)
    index = collection.index()
    first = index.drop_duplicates("prompt_id")
    if missing := (first["prompt"] == "").sum():
        raise UserError(
            f"{missing} of {len(first)} images to train on have no caption; write each into a text file of the image's "
            "name (frog.txt beside frog.png), or choose a data set that has captions"
        )
    sides = ("best", "worst") if index["k"].max() > 0 and not first_only else ("best",)
    keys = {f"{side}_key": [key_of(i, k) for i in first["prompt_id"]] for k, side in enumerate(sides)}
    return pd.DataFrame({"prompt": list(first["prompt"]), **keys})


def encode_examples(
    pipeline: DiffusionPipeline, collection: Collection, pairs: pd.DataFrame, latents: str, batch_size: int, seed: int
) -> Examples:
    """Latents of every image that a pair names, each encoded once; embeddings of every prompt and of the empty one."""
    sides = {side: pairs[f"{side}_key"] for side in ("best", "worst") if f"{side}_key" in pairs}
    keys = list(dict.fromkeys(key for column in sides.values() for key in column))
    found = (
        collection.latents(keys)
        if latents == "sampler"
        else _encode_images(pipeline, collection, keys, batch_size, seed)
    )
    row = {key: i for i, key in enumerate(keys)}
    latents_of = {side: found[[row[key] for key in column]] for side, column in sides.items()}
    prompts = list(dict.fromkeys(pairs["prompt"]))
    place = {prompt: i for i, prompt in enumerate(prompts, 1)}
    index = torch.tensor([place[prompt] for prompt in pairs["prompt"]])
    embeddings = encode_texts(pipeline, ["", *prompts]) | time_ids(pipeline, found.shape[-2:], len(prompts) + 1)
    return Examples(latents_of["best"], latents_of.get("worst"), index, embeddings)


def time_ids(pipeline: DiffusionPipeline, latent_size: tuple[int, int], count: int) -> dict[str, Tensor]:
    """SDXL's micro-conditioning "time_ids" (count, 6) as its pipeline samples with: full size, no crop.

    In pixels. Nothing for other pipelines.
    """
    if not hasattr(pipeline, "_get_add_time_ids"):
        return {}
    size = tuple(side * pipeline.vae_scale_factor for side in latent_size)
    width = pipeline.text_encoder_2.config.projection_dim
    ids = pipeline._get_add_time_ids(size, (0, 0), size, torch.float32, text_encoder_projection_dim=width)
    return {"time_ids": ids.repeat(count, 1)}


def encode_texts(pipeline: DiffusionPipeline, prompts: list[str], batch_size: int = 64) -> dict[str, Tensor]:
    """Embeddings of prompts, as `Examples.embeddings`, in the arithmetic of the text encoders."""
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        for start in progress(range(0, len(prompts), batch_size), -(-len(prompts) // batch_size), "prompts"):
            batch = encode_prompts(pipeline, prompts[start : start + batch_size], guided=False)
            for name, value in batch.items():
                if name not in found:  # as large as all prompts: those of SD3 are not to be in memory twice
                    found[name] = torch.empty(len(prompts), *value.shape[1:], dtype=value.dtype)
                found[name][start : start + len(value)] = value
    return found


def _encode_images(
    pipeline: DiffusionPipeline, collection: Collection, keys: list[str], batch_size: int, seed: int
) -> Tensor:
    """Scaled posterior samples (N, C, h, w), of clips (N, C, F, h, w), float32, one per key with its own noise."""
    batch_size = max(1, batch_size // (collection.frames or 1))  # a clip counts as its frames
    batches = FittingBatches(batch_size, "images", "counts.sampling_batch_size")
    named, latents = ((row.key, image) for row, image in collection.images(keys, torch.get_num_threads())), []
    groups = ahead(iter(lambda: list(islice(named, batch_size)), []))
    for group in progress(groups, -(-len(keys) // batch_size), "latents"):
        for _, found in batches.map(lambda part, of=group: _encode_batch(pipeline, of[part], seed), len(group)):
            latents += found
    return torch.stack(latents)


def _encode_batch(pipeline: DiffusionPipeline, named: list[tuple[str, np.ndarray]], seed: int) -> Tensor:
    """Scaled posterior samples of uint8 images or clips by their keys, on the CPU."""
    vae = pipeline.vae
    with torch.inference_mode():
        pixels = torch.stack([torch.from_numpy(image) for _, image in named]).to(vae.device).movedim(-1, -3)
        parts = pixels.flatten(0, -4).split(images_at_once(vae.dtype, *pixels.shape[-2:]))
        found = [vae.encode((part.to(vae.dtype) / 127.5) - 1).latent_dist for part in parts]
        mean, std = (torch.cat([getattr(one, name).float().cpu() for one in found]) for name in ("mean", "std"))
        mean, std = (_of_items(part, pixels.shape) for part in (mean, std))
        noise = [
            torch.randn(mean.shape[1:], generator=torch.Generator().manual_seed(seed_of("vae", seed, key)))
            for key, _ in named
        ]
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        return (mean + std * torch.stack(noise) - shift) * vae.config.scaling_factor


def _of_items(latents: Tensor, shape: torch.Size) -> Tensor:
    """Latents of frames in a row as those of images (B, C, h, w) or clips (B, C, F, h, w) whose pixels have `shape`."""
    return latents if len(shape) == 4 else latents.unflatten(0, shape[:2]).transpose(1, 2)
