"""What the published packages compute: `python -m tests.reference.packages NAME FOLDER`, in their own environment.

FOLDER has inputs.npz and inputs.json, and weights; outputs.npz is written. Nothing of the workflow is used, but for the
hook that lets torchvision be imported beside a torch without GPU.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

import workflow_scripts  # noqa: F401  (the hook)

Arrays = dict[str, np.ndarray]


def image_reward(folder: Path, images: np.ndarray, prompts: list[str]) -> Arrays:
    """`ImageReward.load(...).score(prompt, image)`, whose tokenizer comes from the hub but here from the folder."""
    import ImageReward
    from ImageReward.models.BLIP import blip
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(folder / "tokenizer")
    with patch.object(blip.BertTokenizer, "from_pretrained", lambda _: tokenizer):
        model = ImageReward.load(str(folder / "ImageReward.pt"), "cpu", med_config=str(folder / "med_config.json"))
    with torch.no_grad():
        pairs = zip(prompts, images, strict=True)
        return {"scores": np.array([model.score(prompt, Image.fromarray(image)) for prompt, image in pairs])}


def hps(folder: Path, images: np.ndarray, prompts: list[str]) -> Arrays:
    """`hpsv2.img_score.score` on a ViT-H-14 as the folder describes it; the wheel lacks CLIP's words, clip has them."""
    words = "bpe_simple_vocab_16e6.txt.gz"
    clip, own = (Path(find_spec(name).origin).parent for name in ("clip", "hpsv2"))
    shutil.copy(clip / words, own / "src" / "open_clip" / words)
    from hpsv2 import img_score
    from hpsv2.src.open_clip.factory import add_model_config

    add_model_config(folder / "ViT-H-14.json")
    settings = {"precision": "fp32", "device": "cpu", "output_dict": True}
    model, _, preprocess = img_score.create_model_and_transforms("ViT-H-14", **settings)
    img_score.model_dict.update(model=model, preprocess_val=preprocess)
    checkpoint = str(folder / "HPS_v2_compressed.pt")
    pairs = zip(prompts, images, strict=True)
    scores = [img_score.score(Image.fromarray(image), prompt, checkpoint)[0] for prompt, image in pairs]
    return {"scores": np.array(scores)}


def fid(folder: Path, images: np.ndarray, others: np.ndarray) -> Arrays:
    """Features of pytorch-fid's network, and its distance of the first sixteen of them."""
    from pytorch_fid import fid_score, inception

    def local(*_: object, **__: object) -> dict:
        return torch.load(folder / "pt_inception-2015-12-05-6726825d.pth")

    with patch.object(inception, "load_state_dict_from_url", local):
        model = inception.InceptionV3([3]).eval()
    with torch.no_grad():
        pixels = torch.from_numpy(np.concatenate([images, others])).permute(0, 3, 1, 2) / 255
        features = model(pixels)[0].flatten(1).numpy()
    first, second = (part[:, :16].astype(np.float64) for part in np.split(features, [len(images)]))
    moments = [moment for part in (first, second) for moment in (part.mean(axis=0), np.cov(part, rowvar=False))]
    return {"features": features, "distance": np.array(fid_score.calculate_frechet_distance(*moments))}


def lpips(folder: Path, images: np.ndarray, others: np.ndarray) -> Arrays:
    """`lpips.LPIPS(net="alex")`, for which torchvision's AlexNet has the folder's weights."""
    import lpips as package
    from torchvision import models

    network = models.alexnet(weights=None)
    network.load_state_dict(torch.load(folder / "alexnet.pth"))
    with patch.object(package.pretrained_networks.tv, "alexnet", lambda **_: network):
        loss = package.LPIPS(net="alex", verbose=False)
    first, second = (torch.from_numpy(part).permute(0, 3, 1, 2) / 127.5 - 1 for part in (images, others))
    with torch.no_grad():
        return {"distances": loss(first, second).flatten().numpy()}


def fvd(folder: Path, clips: np.ndarray) -> Arrays:
    """Logits of cd-fvd's I3D."""
    from cdfvd.third_party.i3d.utils import load_i3d_model, preprocess_i3d

    model = load_i3d_model(torch.device("cpu"), str(folder / "i3d_pretrained_400.pt"))
    with torch.no_grad():
        return {"logits": model(preprocess_i3d(clips)).numpy()}


def edit_distance(folder: Path, ones: list[str], others: list[str]) -> Arrays:
    """rapidfuzz's Levenshtein distance."""
    from rapidfuzz.distance import Levenshtein

    return {"distances": np.array([Levenshtein.distance(*pair) for pair in zip(ones, others, strict=True)])}


def main() -> None:
    """Compute one of the above."""
    compute, folder = globals()[sys.argv[1]], Path(sys.argv[2])
    inputs = dict(np.load(folder / "inputs.npz")) | json.loads((folder / "inputs.json").read_text())
    np.savez(folder / "outputs.npz", **compute(folder, **inputs))


if __name__ == "__main__":
    main()
