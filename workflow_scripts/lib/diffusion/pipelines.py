"""Any diffusers pipeline by its registry name, with the weights of a trained policy in place of the model's own."""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import read_json, sha256, write_json
from ..models import part_of, resolve_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

WEIGHTS = "diffusion_pytorch_model.safetensors"
RECORD = "trained.json"  # beside the weights: what the policy file says
LARGEST_FILE = "100GB"  # one file for every network: SDXL's would be split at diffusers' 10 GB
# What a class is loaded without: images are neither censored nor marked. (The feature extractor is the checker's.)
OPTIONS = {
    "StableDiffusionPipeline": {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}


def load_pipeline(
    entry: dict, entries: dict[str, dict], policy: Path | None, device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Load a registry entry of kind pipeline, in eval mode, without safety checker and watermark.

    An entry with a `base` takes all but the denoiser from that pipeline, which may be of another class (a text-to-video
    pipeline on an image model's parts); a `policy` file (train_sft, …) replaces the denoiser again.
    A `vae` of the pipeline's entry takes the place of its own.
    """
    import diffusers

    _switch_loading_bars_off()
    base = entries[entry["base"]] if entry.get("base") else entry
    folder = resolve_folder(base)
    parts = absent_parts(folder) | OPTIONS.get(entry["class"], {})
    if base.get("vae"):
        parts["vae"] = _load_vae(part_of(base, "vae"), dtype)
    own = policy_weights(policy) if policy is not None else resolve_folder(entry) if entry.get("base") else None
    kind = getattr(diffusers, entry["class"])
    if own is not None:
        parts[denoiser_name(kind)] = _load_denoiser(own, entry["sampling"].get("fps"), dtype)
    pipeline = kind.from_pretrained(folder, dtype=dtype, local_files_only=True, **parts)
    pipeline.scheduler = _scheduler(pipeline, entry["sampling"]["scheduler"])
    pipeline.set_progress_bar_config(disable=True)
    if (tokens := entry["sampling"].get("max_sequence_length")) is not None:  # of SD3's T5; without T5, of zeros
        pipeline.encode_prompt = functools.partial(pipeline.encode_prompt, max_sequence_length=tokens)
    return place(pipeline, device)


def place(pipeline: DiffusionPipeline, device: str | torch.device) -> DiffusionPipeline:
    """The pipeline moved to a device, its networks laid out for it; a VAE that says so does not run in float16."""
    import torch

    from .acceleration import use_channels_last

    if pipeline.vae.dtype == torch.float16 and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.to(torch.float32)  # it says that it overflows in half precision
    if torch.device(device).type == "cuda":
        for network in (denoiser_of(pipeline), pipeline.vae):
            use_channels_last(network)
    return pipeline.to(device)


def absent_parts(folder: Path) -> dict[str, None]:
    """Parts that a pipeline's folder says it was saved without, as SD3 without T5: diffusers wants that said again."""
    index = read_json(folder / "model_index.json")
    return {name: None for name, kind in index.items() if kind == [None, None]}


def denoiser_name(kind: type) -> str:
    """The part of a class of pipelines that is trained: `transformer` if they have one, else `unet`."""
    return "transformer" if "transformer" in inspect.signature(kind).parameters else "unet"


def denoiser_of(pipeline: DiffusionPipeline):
    """The network of a pipeline that is trained."""
    return getattr(pipeline, denoiser_name(type(pipeline)))


def _switch_loading_bars_off() -> None:
    """Those that diffusers and transformers draw while they load weights: they fill logs."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    if not sys.stderr.isatty():
        diffusers.disable_progress_bar()
        transformers.disable_progress_bar()


def save_policy(path: Path, part: str, network, **about) -> None:
    """Save a trained denoiser beside `path` (policy.json), then `path` with its weights' checksum: present means whole.

    `part` is its name in its pipeline (`denoiser_name`).
    """
    folder = path.parent / part
    (folder / RECORD).unlink(missing_ok=True)  # of other weights
    network.save_pretrained(folder, max_shard_size=LARGEST_FILE)
    config = read_json(folder / "config.json")
    config.pop("_name_or_path", None)  # where the weights came from on this machine is no part of the result
    write_json(folder / "config.json", config)
    about |= {"part": part, "sha256": sha256(folder / WEIGHTS)}
    write_json(folder / RECORD, about)
    write_json(path, about)


def is_saved(path: Path, fingerprint: str) -> bool:
    """Whether a policy of this fingerprint was trained here: by another process, or in a job whose end no head saw.

    Such a job Snakemake repeats, and removes the policy file before; it is written again from the record.
    """
    for record in path.parent.glob(f"*/{RECORD}"):
        about, weights = read_json(record), record.with_name(WEIGHTS)
        if about["fingerprint"] == fingerprint and weights.exists() and sha256(weights) == about["sha256"]:
            write_json(path, about)
            return True
    return False


def policy_weights(path: Path) -> Path:
    """The denoiser's folder of a policy file; a changed or missing weight file is a UserError."""
    policy = read_json(path)
    weights = path.parent / policy["part"] / WEIGHTS
    if not weights.exists() or sha256(weights) != policy["sha256"]:
        raise UserError(
            f"{weights} is missing or not what was trained; train it again: rm '{path}' and run the same command"
        )
    return weights.parent


def _load_vae(entry: dict, dtype: torch.dtype):
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(resolve_folder(entry), dtype=dtype, local_files_only=True).eval()


def _load_denoiser(folder: Path, fps: int | None, dtype: torch.dtype):
    """The network of a folder, of the class that its config.json names."""
    import diffusers

    from . import videocrafter

    name = read_json(folder / "config.json")["_class_name"]
    if name == videocrafter.UNET_CLASS:
        return videocrafter.load_videocrafter_unet(folder, fps, dtype)
    return getattr(diffusers, name).from_pretrained(folder, dtype=dtype, local_files_only=True).eval()


def _scheduler(pipeline, name: str):
    import diffusers

    from . import videocrafter

    found = getattr(diffusers, name, None) or getattr(videocrafter, name)
    return found.from_config(pipeline.scheduler.config)
