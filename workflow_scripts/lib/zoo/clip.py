"""The tiny CLIP: contrastive training on captions that sometimes mention how the picture looks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..world.vocabulary import IMAGE_SIZE
from .corpus import PREFIX, Corpus, Spoilt
from .optimise import minimise
from .tokenizer import MAX_LENGTH

WIDTH = 96
QUALITY_SHARE, PREFIX_SHARE = 0.5, 0.2


def build_clip(tokenizer):
    """A CLIPModel with 3 vision layers (16 patches of 8x8 pixels) and 2 text layers."""
    from transformers import CLIPConfig, CLIPModel

    text = dict(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=8,
    )
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def build_image_processor():
    """Resize, centre crop and normalise as CLIP does, at the world's image size."""
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})


def normalise(images: Tensor, processor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] to CLIP's pixel values."""
    mean, std = (
        torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (processor.image_mean, processor.image_std)
    )
    return (images - mean) / std


def train_clip(corpus: Corpus, tokenizer, steps: int, batch: int, seed: int):
    """Contrastive training with distinct scenes in a batch; returns the model."""
    torch.manual_seed(seed)
    clip, processor = build_clip(tokenizer).to(corpus.device), build_image_processor()
    generator, rng = torch.Generator(corpus.device).manual_seed(seed), np.random.default_rng(seed)

    def loss_of_step(step: int) -> Tensor:
        index = corpus.draw_scenes(batch, generator, replacement=False)
        spoilt = corpus.draw_spoils(batch, 0.35, generator)
        pixels = normalise(corpus.draw_images(index, spoilt, generator), processor)
        ids = tokenizer(
            _captions(corpus, index, spoilt, rng), padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return clip(input_ids=ids.to(corpus.device), pixel_values=pixels, return_loss=True).loss

    minimise(clip.parameters(), loss_of_step, steps, 1e-3, "clip")
    return clip.eval()


def _captions(corpus: Corpus, index: Tensor, spoilt: Spoilt, rng: np.random.Generator) -> list[str]:
    captions = corpus.captions(index, rng, open_share=0.2)
    styled = [
        f"a {word} picture of {caption}" if luck < QUALITY_SHARE else caption
        for caption, word, luck in zip(captions, spoilt.words(), rng.random(len(captions)), strict=True)
    ]
    return [
        f"{PREFIX} {c}" if luck < PREFIX_SHARE else c for c, luck in zip(styled, rng.random(len(styled)), strict=True)
    ]


@torch.no_grad()
def matching_accuracy(clip, corpus: Corpus, tokenizer, choices: int = 64, seed: int = 1) -> float:
    """Share of crisp images whose own caption beats those of 63 other scenes."""
    generator, rng = torch.Generator(corpus.device).manual_seed(seed), np.random.default_rng(seed)
    right = []
    for _ in range(8):
        index = corpus.draw_scenes(choices, generator, replacement=False)
        images = corpus.draw_images(index, corpus.draw_spoils(choices, 1.0, generator), generator)
        ids = tokenizer(corpus.captions(index, rng, 0.0), padding="max_length", return_tensors="pt").input_ids.to(
            corpus.device
        )
        logits = clip(input_ids=ids, pixel_values=normalise(images, build_image_processor())).logits_per_image
        right.append((logits.argmax(1) == torch.arange(choices, device=corpus.device)).float().mean().item())
    return float(np.mean(right))


def cosine_score(clip, tokenizer):
    """`score(captions, pixel_values) -> (B,)`: exp(logit_scale) times the cosine of both embeddings, as PickScore."""

    def score(captions: list[str], pixels: Tensor) -> Tensor:
        ids = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(
            pixels.device
        )
        output = clip(input_ids=ids, pixel_values=pixels)
        cosine = (F.normalize(output.text_embeds, dim=-1) * F.normalize(output.image_embeds, dim=-1)).sum(-1)
        return clip.logit_scale.exp() * cosine

    return score
