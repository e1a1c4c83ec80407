"""Our scorers and the published packages on the same random weights and images."""

import json
import random

import numpy as np
import pytest
import torch

from tests.large import architectures as true
from tests.large.published import perturbed, published_name
from tests.large.tokenizers import save_bert_tokenizer
from workflow_scripts.lib.metrics.fid import fit_gaussian, frechet_distance
from workflow_scripts.lib.rewards.ocr import edit_distance
from workflow_scripts.lib.rewards.scorers import HPSv2, load_scorer

PROMPTS = ["a red cat", "two blue dogs, one sleeping", "a red cat"]
MED_CONFIG = {  # med_config.json of zai-org/ImageReward
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30524,
    "encoder_width": 768,
    "add_cross_attention": True,
}


def pictures(count: int, height: int = 224, width: int = 224, seed: int = 0) -> np.ndarray:
    """Rough patterns with noise. Of the networks' own size by default: resizing is tested apart."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 200, (count, -(-height // 28), -(-width // 28), 3)).repeat(28, axis=1).repeat(28, axis=2)
    return (rough[:, :height, :width] + rng.integers(0, 56, (count, height, width, 3))).astype(np.uint8)


def entry(kind: str, folder, file: str | None = None) -> dict:
    """A registry entry of a folder, or of a file in it."""
    return {"class": kind, "source": {"path": str(folder)} | ({"files": [file]} if file else {})}


def test_image_reward_is_that_of_image_reward(tmp_path, published):
    torch.manual_seed(0)
    weights = perturbed(true.image_reward()).state_dict()
    torch.save({published_name(name): value for name, value in weights.items()}, tmp_path / "ImageReward.pt")
    (tmp_path / "med_config.json").write_text(json.dumps(MED_CONFIG))
    save_bert_tokenizer(tmp_path / "tokenizer")
    images = pictures(3)
    expected = published("image_reward", images=images, prompts=PROMPTS)["scores"]
    scorer = load_scorer(entry("ImageReward", tmp_path) | {"processor": {"path": str(tmp_path / "tokenizer")}})
    scores = scorer.encode(images, PROMPTS)["imagereward"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)
    assert expected.std() > 1e-2


def test_hps_is_that_of_hpsv2(tmp_path, published, monkeypatch):
    import open_clip

    shallow = {"layers": 2}  # of 32 and 24, at the true widths
    config = open_clip.get_model_config("ViT-H-14")
    config = {key: value | shallow if key.endswith("_cfg") else value for key, value in config.items()}
    for name in ("ViT-H-14", "ViT-H-14-shallow"):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "ViT-H-14-shallow.json")
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-H-14-shallow", pretrained=None)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "HPS_v2_compressed.pt")
    monkeypatch.setattr(HPSv2, "architecture", "ViT-H-14-shallow")
    images = pictures(3)
    expected = published("hps", images=images, prompts=PROMPTS)["scores"]
    scores = load_scorer(entry("HPSv2", tmp_path, "HPS_v2_compressed.pt")).encode(images, PROMPTS)["hps"].numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert expected.std() > 1e-3


def test_fid_is_that_of_pytorch_fid(tmp_path, published):
    from workflow_scripts.lib.rewards.encoders import load_encoder

    torch.manual_seed(0)
    file = "pt_inception-2015-12-05-6726825d.pth"
    torch.save(true.inception().state_dict(), tmp_path / file)
    images, others = pictures(24, 96, 80), pictures(20, 96, 80, seed=1)
    expected = published("fid", images=images, others=others)
    features = load_encoder(entry("InceptionFeatures", tmp_path, file)).encode(np.concatenate([images, others]))
    np.testing.assert_allclose(features["features"], expected["features"], rtol=1e-3, atol=1e-4)
    first, second = (fit_gaussian(part[:, :16]) for part in np.split(expected["features"], [24]))
    assert frechet_distance(first, second) == pytest.approx(expected["distance"].item(), rel=1e-6)


def test_lpips_is_that_of_lpips(tmp_path, published):
    torch.manual_seed(0)
    torch.save(true.alexnet().state_dict(), tmp_path / "alexnet.pth")
    images, others = pictures(3, 64, 96), pictures(3, 64, 96, seed=1)
    expected = published("lpips", images=images, others=others)["distances"]
    distances = load_scorer(entry("LPIPS", tmp_path, "alexnet.pth")).distance(images, others)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    assert expected.min() > 0 and expected.std() > 0


def test_features_of_fvd_are_those_of_cd_fvd(tmp_path, published):
    from workflow_scripts.lib.rewards.encoders import load_encoder

    torch.manual_seed(0)
    torch.save(true.I3D().state_dict(), tmp_path / "i3d_pretrained_400.pt")
    clips = np.stack([pictures(16, 64, 96, seed=seed) for seed in range(2)])
    expected = published("fvd", clips=clips)["logits"]
    features = load_encoder(entry("I3DFeatures", tmp_path, "i3d_pretrained_400.pt")).encode(clips)["features"]
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 0


def test_edit_distance_is_that_of_rapidfuzz(published):
    draw = random.Random(0)
    words = ["".join(draw.choices("abcd", k=draw.randrange(12))) for _ in range(400)]
    ones, others = words[::2], words[1::2]
    expected = published("edit_distance", ones=ones, others=others)["distances"]
    assert [edit_distance(*pair) for pair in zip(ones, others, strict=True)] == expected.tolist()
