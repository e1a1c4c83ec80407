"""A CLIP tokenizer for the world's captions: byte-level BPE in which each of its words becomes one token."""

from __future__ import annotations

import json
from pathlib import Path

from .corpus import all_captions

MAX_LENGTH = 24


def train_tokenizer(folder: Path, vocab_size: int = 1024):
    """Train the byte-pair merges on all captions and save a `CLIPTokenizer` folder; returns the tokenizer."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 2, end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(all_captions(), trainer)
    tokens, merges = _clip_vocabulary(json.loads(bpe.to_str())["model"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(tokens))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=MAX_LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _clip_vocabulary(model: dict) -> tuple[dict[str, int], list[str]]:
    """CLIP's order: every byte, every byte at a word's end, the merges, the two special tokens."""
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    letters = sorted(token for token in model["vocab"] if len(token) == 1)
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge) for merge in merges)]
    words = list(dict.fromkeys(words)) + ["<|startoftext|>", "<|endoftext|>"]
    return {word: i for i, word in enumerate(words)}, [" ".join(merge) for merge in merges]
