"""The networks behind VBench's dimensions: where its package looks for them, and the commands that fetch them."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UserError

SECTION = 'docs/data.md, "VBench"'
_HUB = "https://huggingface.co/OpenGVLab/VBench_Used_Models/resolve/main"
_CLIP = "https://openaipublic.azureedge.net/clip/models"
_DINO = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
_URLS = {
    "ViCLIP/ViClip-InternVid-10M-FLT.pth": f"{_HUB}/ViClip-InternVid-10M-FLT.pth",
    "ViCLIP/bpe_simple_vocab_16e6.txt.gz": (
        "https://raw.githubusercontent.com/openai/CLIP/main/clip/bpe_simple_vocab_16e6.txt.gz"
    ),
    "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth": (
        "https://raw.githubusercontent.com/LAION-AI/aesthetic-predictor/main/sa_0_4_vit_l_14_linear.pth"
    ),
    "amt_model/amt-s.pth": "https://huggingface.co/lalala125/AMT/resolve/main/amt-s.pth",
    "caption_model/tag2text_swin_14m.pth": (
        "https://huggingface.co/spaces/xinyu1205/recognize-anything/resolve/main/tag2text_swin_14m.pth"
    ),
    "clip_model/ViT-B-32.pt": (f"{_CLIP}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"),
    "clip_model/ViT-L-14.pt": (f"{_CLIP}/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt"),
    "dino_model/dino_vitbase16_pretrain.pth": _DINO,  # asked for by the package, while torch.hub loads the next one
    "torch/hub/checkpoints/dino_vitbase16_pretrain.pth": _DINO,
    "grit_model/grit_b_densecap_objectdet.pth": f"{_HUB}/grit_b_densecap_objectdet.pth",
    "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth": (
        "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights/musiq_spaq_ckpt-358bb6af.pth"
    ),
    "umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth": f"{_HUB}/l16_ptk710_ftk710_ftk400_f16_res224.pth",
}
FETCH = {name: f"curl -fL --create-dirs -o {name} {url}" for name, url in _URLS.items()} | {
    "dino_model/facebookresearch_dino_main/hubconf.py": (
        "git clone https://github.com/facebookresearch/dino dino_model/facebookresearch_dino_main"
    ),
    "raft_model/models/raft-things.pth": (
        "curl -fL --create-dirs -o raft_model/models.zip https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"
        " && unzip -d raft_model raft_model/models.zip"
    ),
    "huggingface/models--bert-base-uncased/refs/main": "HF_HUB_CACHE=huggingface hf download bert-base-uncased",
}
"""Files below VBench's folder of weights, and the commands, run in that folder, that fetch them."""


def absent_weights(folder: Path) -> list[str]:
    """Names of the files that are missing below a folder of weights."""
    return [name for name in FETCH if not (folder / name).exists()]


def use_weights(folder: Path) -> None:
    """Make the package read this folder; UserError when a file is missing, which the package would download."""
    if absent := absent_weights(folder):
        commands = "; ".join(FETCH[name] for name in absent)
        raise UserError(f"{folder} lacks {len(absent)} of VBench's weights (see {SECTION}); run there: {commands}")
    caches = {"VBENCH_CACHE_DIR": ".", "TORCH_HOME": "torch", "HUGGINGFACE_HUB_CACHE": "huggingface"}
    os.environ.update({name: str((folder / below).absolute()) for name, below in caches.items()})
