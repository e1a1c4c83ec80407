"""Tokenizers of the published sizes: CLIP's own, and stand-ins for BERT's and T5's, whose words are not at hand."""

from __future__ import annotations

import gzip
import json
import string
from pathlib import Path

BERT_WORDS, T5_WORDS = 30522, 32100
END = "<|endoftext|>"


def save_clip_tokenizer(folder: Path, pad: str = END, whole: bool = False) -> None:
    """CLIP's tokenizer as published: vocab.json, merges.txt and two configurations; `whole`: tokenizer.json, too."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": END, "unk_token": END, "pad_token": pad}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = special | {"model_max_length": 77, "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"errors": "replace"}))
    if whole:
        CLIPTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"))


def clip_vocabulary() -> tuple[dict[str, int], list[str]]:
    """CLIP's 49,408 tokens and 48,894 merges, from the file that open_clip brings."""
    import open_clip
    from tokenizers.pre_tokenizers import ByteLevel

    file = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")
    merges = lines[1 : 49152 - 256 - 2 + 1]
    letters = sorted(ByteLevel.alphabet(), key=lambda letter: (ord(letter) >= 256, ord(letter)))
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(line.replace(" ", "") for line in merges)]
    return {word: i for i, word in enumerate([*words, "<|startoftext|>", END])}, merges


def save_bert_tokenizer(folder: Path) -> None:
    """A tokenizer of bert-base-uncased's class and size that knows letters only."""
    from transformers import BertConfig, BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    words += [f"[unused{i}]" for i in range(BERT_WORDS - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer(str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)
    BertConfig().save_pretrained(folder)


def save_t5_tokenizer(folder: Path) -> None:
    """A tokenizer of T5's class and size that knows letters only."""
    from transformers import T5Tokenizer

    letters = [*string.ascii_letters, *string.digits, *string.punctuation, "▁"]
    words = ["<pad>", "</s>", "<unk>", *letters]
    words += [f"▁word{i}" for i in range(T5_WORDS - 100 - len(words))]
    T5Tokenizer(vocab=[(word, -float(i)) for i, word in enumerate(words)], extra_ids=100).save_pretrained(folder)
