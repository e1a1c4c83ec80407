"""The tiny ImageReward: BLIP-style cross-attention from the text to the image, trained on synthetic preferences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..metrics.preference import IMAGE_REWARD_MEAN, IMAGE_REWARD_STD
from ..rewards.image_reward import ImageRewardModel
from ..world.vocabulary import IMAGE_SIZE
from .clip import build_image_processor, normalise
from .corpus import Corpus
from .tokenizer import MAX_LENGTH

WIDTH = 96


def build_image_reward(tokenizer, seed: int) -> ImageRewardModel:
    """A model of three vision and two text layers."""
    torch.manual_seed(seed)
    vision = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=8,
    )
    text = dict(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        encoder_hidden_size=WIDTH,
        vocab_size=len(tokenizer),
        max_position_embeddings=MAX_LENGTH,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = ImageRewardModel({"vision": vision, "text": text, "max_length": MAX_LENGTH})
    for layer in model.mlp:
        if hasattr(layer, "reset_parameters"):
            # The published start, for a pretrained BLIP, is too small to learn from when everything is new.
            layer.reset_parameters()
    return model


def logit_score(model: ImageRewardModel, tokenizer):
    """`score(captions, pixel_values) -> (B,)`: raw rewards."""

    def score(captions: list[str], pixels: Tensor) -> Tensor:
        tokens = tokenizer(
            captions, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        ).to(pixels.device)
        return model(pixels, tokens["input_ids"], tokens["attention_mask"])

    return score


@torch.no_grad()
def save_standardised(model: ImageRewardModel, tokenizer, corpus: Corpus, score, folder: Path) -> None:
    """Save the model, its last layer rescaled: rewards of spoilt renderings get the published mean and deviation."""
    generator, rng = torch.Generator(corpus.device).manual_seed(0), np.random.default_rng(0)
    index = corpus.draw_scenes(1024, generator)
    images = corpus.draw_images(index, corpus.draw_spoils(len(index), 0.3, generator), generator)
    raw = score(corpus.captions(index, rng), normalise(images, build_image_processor()))
    last, factor = model.mlp[-1], IMAGE_REWARD_STD / raw.std()
    last.bias.sub_(raw.mean()).mul_(factor).add_(IMAGE_REWARD_MEAN)
    last.weight.mul_(factor)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
