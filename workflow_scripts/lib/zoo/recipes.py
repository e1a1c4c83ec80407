"""Which models a model of the zoo starts from, and how each is trained, checked and saved."""

from __future__ import annotations

from pathlib import Path

from ..diffusion.pipelines import denoiser_name
from ..files import write_json
from ..seeds import seed_of

COLOUR = {"colour": 1.0}
STYLES = {"sd3": {"colour": 0.85, "line art": 0.15}}
"""Shares of the styles that a model learns from, where not all is in colour: Adv-GRPO moves SD3 between them."""


def train(model: str, zoo: Path, *, steps: int, batch: int, seed: int, device: str) -> None:
    """Train `model` into `zoo/model`; what it starts from must already lie in `zoo`.

    Measured qualities go to `zoo/model/measured.json`.
    """
    folder = zoo / model
    if model == "tokenizer":
        from .tokenizer import train_tokenizer

        tokenizer = train_tokenizer(folder)
        write_json(folder / "measured.json", {"tokens": len(tokenizer)})
        return
    from .corpus import Corpus

    measured = RECIPES[model](
        Corpus(device, STYLES.get(model, COLOUR)),
        zoo,
        folder,
        steps=steps,
        batch=batch,
        seed=seed_of("zoo", model, seed) % 2**31,
    )
    write_json(folder / "measured.json", {"steps": steps, "batch": batch, "seed": seed, **measured})


def _vae(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from .vae import reconstruction_psnr, train_vae

    vae = train_vae(corpus, steps, batch, seed)
    vae.half().save_pretrained(folder)
    return {"psnr_db": reconstruction_psnr(vae.float(), corpus)}


def _stable_diffusion(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from .stable_diffusion import train_stable_diffusion

    vae, tokenizer = _vae_and_tokenizer(corpus, zoo)
    return _save_pipeline(train_stable_diffusion(corpus, vae, tokenizer, steps, batch, seed), folder)


def _stable_diffusion_xl(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from .stable_diffusion_xl import train_stable_diffusion_xl

    vae, tokenizer = _vae_and_tokenizer(corpus, zoo)
    return _save_pipeline(train_stable_diffusion_xl(corpus, vae, tokenizer, steps, batch, seed), folder)


def _stable_diffusion_3(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from .stable_diffusion_3 import train_stable_diffusion_3

    vae, tokenizer = _vae_and_tokenizer(corpus, zoo)
    return _save_pipeline(train_stable_diffusion_3(corpus, vae, tokenizer, steps, batch, seed), folder)


def _vae_and_tokenizer(corpus, zoo: Path):
    import torch
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

    vae = AutoencoderKL.from_pretrained(zoo / "vae", torch_dtype=torch.float32).to(corpus.device).eval()
    return vae, CLIPTokenizer.from_pretrained(zoo / "tokenizer")


def _save_pipeline(pipeline, folder: Path) -> dict:
    import torch

    pipeline.to(dtype=torch.float16).save_pretrained(folder)
    name = denoiser_name(type(pipeline))
    return {f"{name}_parameters": sum(p.numel() for p in getattr(pipeline, name).parameters())}


def _text_to_video(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    """A UNet alone: the pipeline takes everything else from the tiny SD1.5."""
    import torch
    from diffusers import StableDiffusionPipeline

    from .text_to_video import train_text_to_video

    pipeline = StableDiffusionPipeline.from_pretrained(zoo / "sd15", safety_checker=None).to(corpus.device)
    unet = train_text_to_video(corpus, pipeline.to(dtype=torch.float32), steps, batch, seed)
    unet.half().save_pretrained(folder)
    return {"unet_parameters": sum(p.numel() for p in unet.parameters())}


def _clip(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from transformers import CLIPTokenizer

    from .clip import matching_accuracy, train_clip

    tokenizer = CLIPTokenizer.from_pretrained(zoo / "tokenizer")
    clip = train_clip(corpus, tokenizer, steps, batch, seed)
    accuracy = matching_accuracy(clip, corpus, tokenizer)
    _save_clip(clip, tokenizer, folder)
    return {"matching_accuracy_of_64": accuracy}


def _clip_scorer(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    """PickScore and HPS: a CLIP fine-tuned so that exp(logit_scale) times the cosine predicts preferences."""
    from transformers import CLIPModel, CLIPTokenizer

    from .clip import cosine_score
    from .preferences import TASTES, agreement, train_scorer

    tokenizer = CLIPTokenizer.from_pretrained(zoo / "tokenizer")
    clip = CLIPModel.from_pretrained(zoo / "clip").float().to(corpus.device)
    score, taste = cosine_score(clip, tokenizer), TASTES[folder.name]
    train_scorer(corpus, score, clip.parameters(), taste, steps, batch, seed, 3e-4, folder.name)
    agrees = agreement(corpus, score, taste)
    _save_clip(clip, tokenizer, folder)
    return {"agreement_with_annotators": agrees}


def _image_reward(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from transformers import CLIPTokenizer

    from .image_reward import build_image_reward, logit_score
    from .preferences import TASTES, agreement, train_scorer

    tokenizer = CLIPTokenizer.from_pretrained(zoo / "tokenizer")
    model = build_image_reward(tokenizer, seed).to(corpus.device)
    score, taste = logit_score(model, tokenizer), TASTES["imagereward"]
    train_scorer(corpus, score, model.parameters(), taste, steps, batch, seed, 3e-4, "imagereward")
    agrees = agreement(corpus, score, taste)
    from .image_reward import save_standardised

    save_standardised(model, tokenizer, corpus, score, folder)
    return {"agreement_with_annotators": agrees}


def _extractor(corpus, zoo: Path, folder: Path, *, steps: int, batch: int, seed: int) -> dict:
    from .extractor import accuracy, train_extractor

    model = train_extractor(corpus, steps, batch, seed)
    measured = accuracy(model, corpus)
    model.half().save_pretrained(folder)
    return {"accuracy": measured}


def _save_clip(clip, tokenizer, folder: Path) -> None:
    from .clip import build_image_processor

    clip.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    build_image_processor().save_pretrained(folder)


RECIPES = {
    "vae": _vae,
    "sd15": _stable_diffusion,
    "sdxl": _stable_diffusion_xl,
    "sd3": _stable_diffusion_3,
    "clip": _clip,
    "pickscore": _clip_scorer,
    "hps": _clip_scorer,
    "imagereward": _image_reward,
    "extractor": _extractor,
    "text_to_video": _text_to_video,
}
