"""Pictures, and tiny random-weight models of the true classes in folders: a pytest plugin of the encoder tests."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part

PROMPTS = ["a frog", "two apples on red", "a frog"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def pictures(count: int, height: int = 40, width: int = 40, seed: int = 0) -> np.ndarray:
    """Random images with structure at several scales, uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, -(-height // 8), -(-width // 8), 3))
    smooth = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return np.clip(smooth + rng.integers(-30, 31, (count, height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    """A byte-level CLIP tokenizer."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=40).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory, tokenizer_folder):
    """A CLIPModel of 16-pixel patches with its tokenizer and image processor."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = SIZES | special | {"vocab_size": len(tokenizer), "max_position_embeddings": 40}
    vision = SIZES | {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    for parameter in model.parameters():  # the default initialisation is too small to tell images apart
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.half().save_pretrained(folder)  # as the tiny zoo saves its models; they are used in float32
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture
def part_file(tmp_path):
    """A part of two prompts with three images each, in two shards."""
    images, entries = pictures(6), []
    for shard in range(2):
        with ShardWriter(tmp_path, f"shard{shard}", "made") as writer:
            for k in range(3):
                writer.add(ImageRecord(key_of(shard, k), images[3 * shard + k], shard, k, PROMPTS[shard], 1))
            entries.append(writer.commit())
    write_part(tmp_path / "part0.json", entries, "made")
    return tmp_path / "part0.json"


def use_registry(monkeypatch, **models):
    """Let the command lines find these models."""
    from workflow_scripts.lib import spec

    monkeypatch.setattr(spec, "load_config", lambda: SimpleNamespace(model_entry=models.__getitem__))
