"""Scorers of the true classes with random weights, against transformers, open_clip and formulas; their commands."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import PROMPTS, SIZES, pictures, use_registry

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.pixels import Preprocessing
from workflow_scripts.lib.rewards import encoders, image_reward, scorers
from workflow_scripts.lib.rewards.clip import TransformersCLIP
from workflow_scripts.lib.rewards.image_reward import ImageRewardModel, rename_original
from workflow_scripts.lib.rewards.scorers import CLIPScore, HPSv2, ImageReward, PickScore, load_scorer
from workflow_scripts.lib.shards import key_of

pytest_plugins = ["tiny_encoders"]


def logits_of_transformers(folder, images, prompts) -> tuple[torch.Tensor, float]:
    """exp(logit_scale) · cosine of each image with its prompt by CLIPModel.forward, and exp(logit_scale)."""
    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

    model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    pixels = CLIPImageProcessor.from_pretrained(folder)(list(images), return_tensors="pt")
    tokens = AutoTokenizer.from_pretrained(folder)(
        prompts, padding="max_length", truncation=True, max_length=40, return_tensors="pt"
    )
    with torch.no_grad():
        return model(**pixels, **tokens).logits_per_image.diagonal(), model.logit_scale.exp().item()


def test_pickscore_and_hps_equal_the_direct_computation(clip_folder):
    images = pictures(3)
    logits, scale = logits_of_transformers(clip_folder, images, PROMPTS)
    torch.testing.assert_close(
        PickScore(clip_folder).encode(images, PROMPTS)["pickscore"], logits, rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(HPSv2(clip_folder).encode(images, PROMPTS)["hps"], logits / scale, rtol=1e-4, atol=1e-5)
    assert logits.std() > 1e-3


def test_half_precision_does_not_round_the_scale_of_scores(clip_folder, tmp_path):
    folder, scale = shutil.copytree(clip_folder, tmp_path / "clip"), torch.tensor(100.0).log()
    tensors = load_file(folder / "model.safetensors") | {"logit_scale": scale}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    half = TransformersCLIP(folder, folder, "cpu", torch.float16)
    assert half.model.dtype == torch.float16
    assert half.logit_scale == scale.item() != scale.half().item()


def test_clipscore_has_a_prefix_a_weight_and_a_floor(clip_folder):
    images = pictures(3)
    logits, scale = logits_of_transformers(clip_folder, images, [f"A photo depicts {prompt}" for prompt in PROMPTS])
    scorer = CLIPScore(clip_folder)
    expected = 2.5 * (logits / scale).clamp(min=0)
    torch.testing.assert_close(scorer.encode(images, PROMPTS)["clipscore"], expected, rtol=1e-4, atol=1e-5)
    assert scorer.score(torch.tensor([-0.2, 0.4])).tolist() == pytest.approx([0, 1.0])


def test_each_distinct_prompt_is_encoded_once(clip_folder, monkeypatch):
    scorer, encoded = PickScore(clip_folder), []
    original = scorer.clip.text_embeddings
    monkeypatch.setattr(scorer.clip, "text_embeddings", lambda texts: encoded.extend(texts) or original(texts))
    first = scorer.encode(pictures(3), PROMPTS)
    again = scorer.encode(pictures(3), PROMPTS)
    assert sorted(encoded) == sorted(set(PROMPTS))
    assert torch.equal(first["pickscore"], again["pickscore"])


def test_scorers_need_a_prompt_per_image(clip_folder):
    with pytest.raises(UserError, match="3 images, 2 prompts"):
        PickScore(clip_folder).encode(pictures(3), PROMPTS[:2])


def test_hps_reads_the_published_form(tmp_path, monkeypatch):
    import open_clip

    sizes = {"layers": 2, "width": 64}
    config = {
        "embed_dim": 16,
        "vision_cfg": {**sizes, "image_size": 32, "patch_size": 16},
        "text_cfg": {**sizes, "heads": 2, "context_length": 77, "vocab_size": 49408},
    }
    (tmp_path / "tiny-hps.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-hps.json")
    model = open_clip.create_model("tiny-hps", pretrained=None).eval()
    torch.save({"state_dict": model.state_dict(), "epoch": 1}, tmp_path / "HPS_v2_compressed.pt")
    monkeypatch.setattr(HPSv2, "architecture", "tiny-hps")
    images = pictures(3)
    source = {"path": str(tmp_path), "files": ["HPS_v2_compressed.pt"]}
    scores = load_scorer({"class": "HPSv2", "source": source}).encode(images, PROMPTS)["hps"]
    pixels = Preprocessing.square(32)(images)
    with torch.no_grad():
        outputs = model(pixels, open_clip.get_tokenizer("tiny-hps")(PROMPTS))
    torch.testing.assert_close(scores, (outputs[0] * outputs[1]).sum(1), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def tiny_image_reward(tmp_path_factory, tokenizer_folder):
    """A saved ImageRewardModel with the byte tokenizer beside it."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("imagereward")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    vision = SIZES | {"image_size": 32, "patch_size": 16}
    text = SIZES | {"encoder_hidden_size": 32, "vocab_size": len(tokenizer), "max_position_embeddings": 40}
    torch.manual_seed(0)
    model = ImageRewardModel({"vision": vision, "text": text, "max_length": 20}).eval()
    for name, parameter in model.named_parameters():
        parameter.data.add_((1.0 if name.startswith("mlp") else 0.1) * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model


def test_image_reward_is_saved_loaded_and_normalised(tiny_image_reward):
    folder, model = tiny_image_reward
    scorer, images = ImageReward(folder), pictures(3)
    tokens = scorer.tokenizer(PROMPTS, padding="max_length", truncation=True, max_length=20, return_tensors="pt")
    pixels = Preprocessing.square(32)(images)
    with torch.no_grad():
        raw = model(pixels, tokens["input_ids"], tokens["attention_mask"])
    scores = scorer.encode(images, PROMPTS)["imagereward"]
    torch.testing.assert_close(scores, (raw - 0.1672) / 1.0333, rtol=1e-4, atol=1e-5)


def test_image_reward_sees_image_and_prompt_and_ignores_padding(tiny_image_reward):
    folder, _ = tiny_image_reward
    scorer, images = ImageReward(folder), pictures(2)
    scores = {}
    for name, batch, prompts in [("a", [0, 0], "xx"), ("b", [1, 1], "xx"), ("c", [0, 0], "xy")]:
        scores[name] = scorer.encode(images[batch], list(prompts))["imagereward"]
    assert scores["a"][0] == pytest.approx(scores["a"][1].item(), rel=1e-5)
    assert abs(scores["a"][0] - scores["b"][0]) > 1e-3
    assert abs(scores["c"][0] - scores["c"][1]) > 1e-3
    scorer.model.config["max_length"] = 10
    assert scorer.encode(images[[0]], ["x"])["imagereward"].item() == pytest.approx(scores["a"][0].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("blip.visual_encoder.cls_token", "vision.embeddings.class_embedding"),
        ("blip.visual_encoder.pos_embed", "vision.embeddings.position_embedding"),
        ("blip.visual_encoder.patch_embed.proj.weight", "vision.embeddings.patch_embedding.weight"),
        ("blip.visual_encoder.blocks.11.attn.qkv.bias", "vision.encoder.layers.11.self_attn.qkv.bias"),
        ("blip.visual_encoder.blocks.3.attn.proj.weight", "vision.encoder.layers.3.self_attn.projection.weight"),
        ("blip.visual_encoder.blocks.3.norm2.weight", "vision.encoder.layers.3.layer_norm2.weight"),
        ("blip.visual_encoder.blocks.3.mlp.fc1.weight", "vision.encoder.layers.3.mlp.fc1.weight"),
        ("blip.visual_encoder.norm.bias", "vision.post_layernorm.bias"),
        (
            "blip.text_encoder.encoder.layer.5.crossattention.self.key.weight",
            "text.encoder.layer.5.crossattention.self.key.weight",
        ),
        ("mlp.layers.7.bias", "mlp.7.bias"),
    ],
)
def test_published_image_reward_names(published, ours):
    assert list(rename_original({published: torch.zeros(1)})) == [ours]


def test_published_image_reward_is_converted_whole(tiny_image_reward, tmp_path, monkeypatch):
    _, model = tiny_image_reward
    backwards = [
        ("vision.embeddings.class_embedding", "blip.visual_encoder.cls_token"),
        ("vision.embeddings.position_embedding", "blip.visual_encoder.pos_embed"),
        ("vision.embeddings.patch_embedding", "blip.visual_encoder.patch_embed.proj"),
        ("vision.post_layernorm", "blip.visual_encoder.norm"),
        ("vision.encoder.layers", "blip.visual_encoder.blocks"),
        ("layer_norm", "norm"),
        ("self_attn.projection", "attn.proj"),
        ("self_attn", "attn"),
        ("text.", "blip.text_encoder."),
        ("mlp.0.", "mlp.layers.0."),
        *((f"mlp.{i}.", f"mlp.layers.{i}.") for i in (2, 4, 6, 7)),
    ]
    published = {"blip.text_encoder.embeddings.position_ids": torch.arange(4), "blip.itm_head.weight": torch.zeros(2)}
    for name, value in model.state_dict().items():
        for ours, theirs in backwards if "LayerNorm" not in name else backwards[8:]:
            name = name.replace(ours, theirs)
        published[name] = value
    torch.save(published, tmp_path / "ImageReward.pt")
    monkeypatch.setattr(image_reward, "ORIGINAL_CONFIG", model.config)
    loaded = ImageRewardModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_image_reward_head_has_the_published_widths(tmp_path):
    layers = [module for module in image_reward._mlp(768) if isinstance(module, torch.nn.Linear)]
    assert [layer.out_features for layer in layers] == [1024, 128, 64, 16, 1]
    with pytest.raises(UserError, match="neither model.safetensors nor ImageReward.pt"):
        ImageRewardModel.from_pretrained(tmp_path)


def test_score_images_command_line(part_file, clip_folder, tmp_path, monkeypatch):
    from workflow_scripts.score_images import main

    use_registry(monkeypatch, pick={"class": "PickScore", "source": {"path": str(clip_folder)}})
    out = tmp_path / "scores.parquet"
    main(["--scorer", "pick", "--images", str(part_file), "--batch-size", "4", "--out", str(out)])
    table = pd.read_parquet(out)
    assert list(table.columns) == ["key", "prompt_id", "k", "pickscore"]
    assert table["key"].tolist() == [key_of(p, k) for p in range(2) for k in range(3)]
    prompts = [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3
    expected = PickScore(clip_folder).encode(pictures(6), prompts)["pickscore"]
    np.testing.assert_allclose(table["pickscore"], expected, rtol=1e-4)


def test_score_rewards_command_line(part_file, clip_folder, tmp_path, monkeypatch):
    from workflow_scripts.encode_images import main as encode_images
    from workflow_scripts.lib.rewards.reward_heads import RewardModel, RewardPredictionLayer, save_reward_model
    from workflow_scripts.score_rewards import main as score_rewards

    use_registry(monkeypatch, clip={"class": "CLIPVisionTokens", "source": {"path": str(clip_folder)}})
    features, head, out = (str(tmp_path / name) for name in ("f.safetensors", "head.safetensors", "rewards.parquet"))
    encode_images(["--encoder", "clip", "--images", str(part_file), "--out", features])
    save_reward_model(head, RewardModel([RewardPredictionLayer(64) for _ in range(2)], "voting", "bce", "clip"))
    command = ["--head", head, "--features", features, "--images", str(part_file), "--out", out]
    score_rewards(command)
    table = pd.read_parquet(out)
    assert list(table.columns) == ["key", "prompt_id", "k", "reward", "logit", "vote0", "vote1"]
    assert len(table) == 6
    save_reward_model(head, RewardModel([RewardPredictionLayer(64)], "naive", "bce", "dino"))
    with pytest.raises(UserError, match="head.safetensors was made by encoder 'dino'"):
        score_rewards(command)
    part_file.write_text(part_file.read_text() + " ")
    with pytest.raises(UserError, match="made of other images"):
        score_rewards(command)


def test_assign_rewards_command_line_takes_a_scorers_column(part_file, clip_folder, tmp_path, monkeypatch):
    from workflow_scripts.assign_rewards import main as assign_rewards
    from workflow_scripts.score_images import main as score_images

    use_registry(monkeypatch, pick={"class": "PickScore", "source": {"path": str(clip_folder)}})
    scores, out = str(tmp_path / "scores.parquet"), str(tmp_path / "rewards.parquet")
    score_images(["--scorer", "pick", "--images", str(part_file), "--out", scores])
    assign_rewards(["--scores", scores, "--column", "pickscore", "--out", out])
    table = pd.read_parquet(out)
    assert list(table.columns) == ["key", "prompt_id", "k", "reward", "logit"]
    assert table["logit"].tolist() == pd.read_parquet(scores)["pickscore"].tolist()
    with pytest.raises(UserError, match="no column 'hps'; known: pickscore"):
        assign_rewards(["--scores", scores, "--column", "hps", "--out", out])
    pd.read_parquet(scores).assign(pickscore=[0.5, np.nan] * 3).to_parquet(scores)
    with pytest.raises(UserError, match="3 images have no 'pickscore'"):
        assign_rewards(["--scores", scores, "--column", "pickscore", "--out", out])


def test_random_rewards_belong_to_the_image_and_are_uniform(part_file, tmp_path):
    from workflow_scripts.assign_rewards import main as assign_rewards
    from workflow_scripts.lib.rewards.assigned import random_rewards

    out = tmp_path / "rewards.parquet"
    assign_rewards(["--random", str(part_file), "--out", str(out)])
    assert list(pd.read_parquet(out).columns) == ["key", "prompt_id", "k", "reward", "logit"]
    index = pd.DataFrame({"key": [str(i) for i in range(2000)], "prompt_id": 0, "k": 0, "seed": range(2000)})
    rewards = random_rewards(index)["reward"]
    assert rewards[5:9].tolist() == random_rewards(index[5:9])["reward"].tolist()
    assert rewards.is_unique and (rewards.min(), rewards.max()) == pytest.approx((0, 1), abs=0.01)
    assert abs(rewards.mean() - 0.5) < 0.02 and abs(rewards.corr(index["seed"])) < 0.06


def test_ground_truth_is_a_scorer_too():
    from workflow_scripts.lib.world.prompts import draw_scenes
    from workflow_scripts.lib.world.render import render, to_uint8

    scenes = draw_scenes("eval", 3, 0)
    images = np.stack([to_uint8(render(scene)) for scene in scenes])
    scores = load_scorer({"class": "World"}).encode(images, [scene.caption() for scene in scenes])
    assert scores["scene_accuracy"].tolist() == [1, 1, 1]


def test_scorers_and_encoders_are_apart():
    """An edit in a scorer must not make every feature file stale, so encoders may not import them."""
    assert "scorers" not in vars(encoders)
    assert vars(scorers)["build_encoder"] is encoders.build_encoder
