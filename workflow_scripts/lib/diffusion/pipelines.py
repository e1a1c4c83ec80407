"""Any diffusers pipeline by its registry name, with the weights of a trained policy in place of the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..files import read_json, sha256, write_json
from ..models import resolve_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
# What a class is loaded without: images are neither censored nor marked.
OPTIONS = {
    "StableDiffusionPipeline": {"safety_checker": None, "requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}


def load_pipeline(
    entry: dict, entries: dict[str, dict], policy: Path | None, device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Load a registry entry of kind pipeline, in eval mode, without safety checker and watermark.

    An entry with a `base` takes all but the UNet from that pipeline, which may be of another class (a text-to-video
    pipeline on an image model's parts); a `policy` file (train_sft, train_dpo) replaces the UNet again.
    A `vae` of the pipeline's entry takes the place of its own.
    """
    import diffusers
    import torch

    base = entries[entry["base"]] if entry.get("base") else entry
    parts = {"vae": _load_vae(base["vae"], dtype)} if base.get("vae") else {}
    own = policy_weights(policy) if policy is not None else resolve_folder(entry) if entry.get("base") else None
    if own is not None:
        parts["unet"] = _load_unet(own, entry["sampling"].get("fps"), dtype)
    pipeline = getattr(diffusers, entry["class"]).from_pretrained(
        resolve_folder(base), dtype=dtype, local_files_only=True, **parts, **OPTIONS.get(entry["class"], {})
    )
    if dtype == torch.float16 and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.to(torch.float32)  # it says that it overflows in half precision
    pipeline.scheduler = _scheduler(pipeline, entry["sampling"]["scheduler"])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def save_policy(path: Path, unet, **about) -> None:
    """Save a trained UNet beside `path` (policy.json), then `path` with the weights' checksum: present means whole."""
    folder = path.parent / "unet"
    unet.save_pretrained(folder)
    config = read_json(folder / "config.json")
    config.pop("_name_or_path", None)  # where the weights came from on this machine is no part of the result
    write_json(folder / "config.json", config)
    write_json(path, {**about, "sha256": sha256(path.parent / WEIGHTS)})


def policy_weights(path: Path) -> Path:
    """The UNet folder of a policy file; a changed or missing weight file is a UserError."""
    expected, weights = read_json(path)["sha256"], path.parent / WEIGHTS
    if not weights.exists() or sha256(weights) != expected:
        raise UserError(
            f"{weights} is missing or not what was trained; train it again: rm '{path}' and run the same command"
        )
    return weights.parent


def _load_vae(entry: dict, dtype: torch.dtype):
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(resolve_folder(entry), dtype=dtype, local_files_only=True).eval()


def _load_unet(folder: Path, fps: int | None, dtype: torch.dtype):
    """The UNet of a folder, of the class that its config.json names."""
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
