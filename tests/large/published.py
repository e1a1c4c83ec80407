"""Writes random models of the true architectures as the registry's entries are published: names, files and formats."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from workflow_scripts.lib.cost import published_sizes as sizes
from workflow_scripts.lib.pixels import CLIP_MEAN, CLIP_STD
from workflow_scripts.lib.zoo.stable_diffusion_3 import build_scheduler_3

from . import architectures as true
from .tokenizers import save_bert_tokenizer, save_clip_tokenizer, save_t5_tokenizer
from .workspace import Workspace

ONE_FILE = "100GB"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
T5_LAYERS = 4
"""Of 24, which would take 19 GB in float32."""
SHIPPED_SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def write_json(path: Path, content: dict) -> None:
    """A configuration file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_preprocessor(folder: Path, size: object, mean=CLIP_MEAN, std=CLIP_STD, **more) -> None:
    """A preprocessor_config.json in the form of the first ones on the hub."""
    known = {"do_resize": True, "do_normalize": True, "size": size, "image_mean": mean, "image_std": std}
    write_json(folder / "preprocessor_config.json", {"resample": 3, **known, **more})


def write_pipeline(folder: Path, kind: str, parts: dict[str, str], **more) -> None:
    """model_index.json: `parts` are classes by name, those of texts from transformers."""
    index = {name: ["transformers" if "Model" in c and "2D" not in c else "diffusers", c] for name, c in parts.items()}
    index |= {name: ["transformers", c] for name, c in parts.items() if "token" in name or "extractor" in name}
    index |= {name: ["stable_diffusion", c] for name, c in parts.items() if name == "safety_checker"}
    index |= {"unet": ["diffusers", parts["unet"]]} if "unet" in parts else {}
    write_json(folder / "model_index.json", {"_class_name": kind, **more, **index})


def write_schedule(folder: Path, kind: str, **more) -> None:
    """scheduler/scheduler_config.json of a Stable Diffusion."""
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": kind, **SHIPPED_SCHEDULE, **more})


def save(module: nn.Module, folder: Path, dtype: torch.dtype = torch.float32, files: int = 1) -> None:
    """`save_pretrained` in one file or in two."""
    module.to(dtype)
    size = sum(parameter.nbytes for parameter in module.parameters())
    module.save_pretrained(folder, max_shard_size=ONE_FILE if files == 1 else int(0.75 * size))


def sd15(work: Workspace) -> None:
    """SD1.5. Its index names a safety checker and a feature extractor, whose files are not downloaded."""
    folder = work.source("sd15")
    checker = {"safety_checker": "StableDiffusionSafetyChecker", "feature_extractor": "CLIPImageProcessor"}
    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
    rest = {"tokenizer": "CLIPTokenizer", "scheduler": "PNDMScheduler"}
    write_pipeline(folder, "StableDiffusionPipeline", parts | rest | checker)
    write_schedule(folder, "PNDMScheduler", skip_prk_steps=True)
    save_clip_tokenizer(folder / "tokenizer")
    save(true.clip_text(sizes.CLIP_L_TEXT), folder / "text_encoder")
    save(true.vae(**sizes.SD15_VAE), folder / "vae")
    save(true.unet_2d(**sizes.SD15_UNET), folder / "unet")


def sdxl(work: Workspace) -> None:
    """SDXL, with the VAE that takes the place of its own."""
    folder = work.source("sdxl")
    texts = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}
    rest = {"tokenizer": "CLIPTokenizer", "tokenizer_2": "CLIPTokenizer", "scheduler": "EulerDiscreteScheduler"}
    parts = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
    more = {"force_zeros_for_empty_prompt": True, "add_watermarker": None}
    write_pipeline(folder, "StableDiffusionXLPipeline", texts | rest | parts, **more)
    write_schedule(folder, "EulerDiscreteScheduler", timestep_spacing="leading", prediction_type="epsilon")
    save_clip_tokenizer(folder / "tokenizer")
    save_clip_tokenizer(folder / "tokenizer_2", pad="!")
    save(true.clip_text(sizes.CLIP_L_TEXT), folder / "text_encoder")
    save(true.clip_text(sizes.CLIP_G_TEXT, "gelu", projected=True), folder / "text_encoder_2")
    save(true.vae(**sizes.SDXL_VAE), work.source("sdxl", "vae"))
    save(true.unet_2d(**sizes.SDXL_UNET), folder / "unet")


def sd3(work: Workspace) -> None:
    """SD3.5 Medium in half precision; its T5 has `T5_LAYERS` layers, in two files as published."""
    folder, half = work.source("sd3"), torch.float16
    clips = ("CLIPTextModelWithProjection", "CLIPTextModelWithProjection", "T5EncoderModel")
    words = ("CLIPTokenizer", "CLIPTokenizer", "T5TokenizerFast")
    ends = ("", "_2", "_3")
    parts = {f"text_encoder{end}": kind for end, kind in zip(ends, clips, strict=True)}
    parts |= {f"tokenizer{end}": kind for end, kind in zip(ends, words, strict=True)}
    parts |= {"transformer": "SD3Transformer2DModel", "vae": "AutoencoderKL"}
    write_pipeline(folder, "StableDiffusion3Pipeline", parts | {"scheduler": "FlowMatchEulerDiscreteScheduler"})
    build_scheduler_3().save_pretrained(folder / "scheduler")
    save_clip_tokenizer(folder / "tokenizer")
    save_clip_tokenizer(folder / "tokenizer_2", pad="!")
    save_t5_tokenizer(folder / "tokenizer_3")
    save(true.clip_text(sizes.CLIP_L_TEXT, projected=True), folder / "text_encoder", half)
    save(true.clip_text(sizes.CLIP_G_TEXT, "gelu", projected=True), folder / "text_encoder_2", half)
    save(true.t5_encoder(num_layers=T5_LAYERS), folder / "text_encoder_3", half, files=2)
    save(true.vae(**sizes.SD3_VAE), folder / "vae", half)
    save(true.sd3_transformer(), folder / "transformer", half)


def videocrafter2(work: Workspace) -> None:
    """VideoCrafter2's UNet, and ModelScope around it, whose own UNet is a placeholder: it is not loaded."""
    folder = work.source("modelscope")
    parts = {"unet": "UNet3DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
    rest = {"tokenizer": "CLIPTokenizer", "scheduler": "DDIMScheduler"}
    write_pipeline(folder, "TextToVideoSDPipeline", parts | rest)
    write_schedule(folder, "DDIMScheduler")
    save_clip_tokenizer(folder / "tokenizer", pad="!")
    save(true.clip_text(sizes.MODELSCOPE_TEXT, "gelu"), folder / "text_encoder")
    save(true.vae(**sizes.SD15_VAE), folder / "vae")
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        write_json(folder / "unet" / name, {})
    network, own = true.videocrafter_unet(), work.source("videocrafter2")
    config = {**network.config, "_class_name": "UNet3DVideoCrafterConditionModel", "fps_cond": True}
    save(network, own)
    write_json(own / "config.json", config)


def clip_files(module: nn.Module, folder: Path, files: list[str], tokenizer: bool = True) -> None:
    """A CLIP with the weights in the format that the registry names."""
    if "pytorch_model.bin" in files:
        module.config.save_pretrained(folder)
        positions = {f"{tower}_model.embeddings.position_ids": torch.arange(1)[None] for tower in ("text", "vision")}
        torch.save(module.state_dict() | positions, folder / "pytorch_model.bin")  # old files hold them, too
    else:
        save(module, folder)
    if tokenizer:
        clip_processor(folder)


def clip_processor(folder: Path) -> None:
    """Tokenizer and preprocessor_config.json of a CLIP of 224 pixels."""
    save_clip_tokenizer(folder, whole=True)
    write_preprocessor(folder, 224, crop_size=224, do_center_crop=True)


def clip_of(name: str, build: Callable[[], nn.Module]) -> Callable[[Workspace], None]:
    """Writes a CLIP of OpenAI."""
    return lambda work: clip_files(build(), work.source(name), work.registry[name]["source"]["files"])


def pickscore(work: Workspace) -> None:
    """PickScore; its processor lies elsewhere."""
    save(true.clip_h14(), work.source("pickscore_v1"))
    clip_processor(work.source("pickscore_v1", "processor"))


def hps(work: Workspace) -> None:
    """HPSv2's compressed checkpoint: half precision."""
    weights = {name: value.half() for name, value in true.open_clip_h14().state_dict().items()}
    torch.save({"epoch": 0, "state_dict": weights}, work.source("hps_v2") / "HPS_v2_compressed.pt")


def q16(work: Workspace) -> None:
    """Q16's two prompts of 768 numbers."""
    clip_of("clip_vit_l14_score", true.clip_l14)(work)
    prompts = np.random.default_rng(0).normal(size=(2, 768)).astype(np.float16)
    (work.source("q16") / "prompts.p").write_bytes(pickle.dumps(prompts, protocol=3))


def image_reward(work: Workspace) -> None:
    """ImageReward.pt under image-reward's names, with momentum-free BLIP's unused projections; BERT's tokenizer."""
    folder = work.source("imagereward_v1")
    weights = {published_name(name): value for name, value in perturbed(true.image_reward()).state_dict().items()}
    unused = {"blip.vision_proj.weight": torch.zeros(256, 1024), "blip.text_proj.weight": torch.zeros(256, 768)}
    torch.save(weights | unused, folder / "ImageReward.pt")
    write_json(folder / "med_config.json", {"hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 30524})
    save_bert_tokenizer(work.source("imagereward_v1", "processor"))


def perturbed(model: nn.Module) -> nn.Module:
    """The model with a head of larger weights: a new one's scores are all the same in float32."""
    with torch.no_grad():
        for parameter in model.mlp.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def published_name(name: str) -> str:
    """The name of one of ImageRewardModel's tensors in image-reward's file."""
    tower, _, rest = name.partition(".")
    if tower == "mlp":
        return f"mlp.layers.{rest}"
    if tower == "text":
        return f"blip.text_encoder.{rest}"
    renamed = {"encoder.layers": "blocks", "embeddings.class_embedding": "cls_token", "layer_norm": "norm"}
    renamed |= {"embeddings.position_embedding": "pos_embed", "embeddings.patch_embedding": "patch_embed.proj"}
    renamed |= {"self_attn.projection": "attn.proj", "self_attn": "attn", "post_layernorm": "norm"}
    for ours, theirs in renamed.items():
        rest = rest.replace(ours, theirs)
    return f"blip.visual_encoder.{rest}"


def dinov2(work: Workspace) -> None:
    """DINOv2 as timm publishes it."""
    from timm.models import save_for_hf

    save_for_hf(true.dinov2(), work.source("dinov2_b14"), safe_serialization=True)


def dino(work: Workspace) -> None:
    """DINO as Facebook publishes it: without a pooling layer, which DINO has not."""
    folder, module = work.source("dino_consistency"), true.dino()
    module.config.save_pretrained(folder)
    torch.save(module.state_dict(), folder / "pytorch_model.bin")
    write_preprocessor(folder, 224, *IMAGENET)


def siglip(name: str, build: Callable[[], nn.Module], pixels: int) -> Callable[[Workspace], None]:
    """Writes a SigLIP of images of so many pixels."""

    def write(work: Workspace) -> None:
        save(build(), work.source(name))
        size = {"height": pixels, "width": pixels}
        write_preprocessor(work.source(name), size, [0.5] * 3, [0.5] * 3)

    return write


def viclip(work: Workspace) -> None:
    """ViCLIP: both towers in one file; of the text's one tensor is enough, as it is not read."""
    from safetensors.torch import save_file

    write_json(work.source("viclip_b16_tokens") / "config.json", {"model_type": "clip"})
    vision = true.ViCLIPVision().state_dict()
    weights = {f"vision_encoder.{name}": value for name, value in vision.items()}
    weights |= {"vision_encoder.proj": torch.zeros(768, 512), "text_encoder.ln_final.weight": torch.ones(512)}
    save_file(weights, work.source("viclip_b16_tokens") / "model.safetensors")


def state_of(name: str, build: Callable[[], nn.Module]) -> Callable[[Workspace], None]:
    """Writes a file of weights alone."""

    def write(work: Workspace) -> None:
        torch.save(build().state_dict(), work.source(name) / work.registry[name]["source"]["files"][0])

    return write


def geneval(work: Workspace, prompts: list[str]) -> None:
    """Mask2Former, CLIP, and metadata that ask for one object in each prompt."""
    clip_of("clip_vit_l14_score", true.clip_l14)(work)
    folder = work.source("geneval")
    save(true.mask2former(), folder)
    write_preprocessor(folder, {"height": 384, "width": 384}, *IMAGENET, resample=2, size_divisor=32, do_rescale=True)
    include = [{"class": "cat", "count": 1, "color": "red"}]
    lines = [json.dumps({"tag": "colors", "prompt": prompt, "include": include}) for prompt in prompts]
    metadata = work.source("geneval", "metadata") / "evaluation_metadata.jsonl"
    metadata.write_text("\n".join(lines) + "\n")
