"""Vision foundation models of the true classes with reduced random weights, and similarities by their tokens."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_encoders import PROMPTS, SIZES, pictures, use_registry
from torch.nn.functional import cosine_similarity

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.pixels import Preprocessing
from workflow_scripts.lib.rewards.encoders import CLIPVisionTokens, load_encoder
from workflow_scripts.lib.rewards.foundation import SiglipTokens, TimmTokens, load_foundation
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.shards import Collection, ImageRecord, ShardWriter, key_of, write_part
from workflow_scripts.lib.spec import load_config

pytest_plugins = ["tiny_encoders"]


def save_dinov2(folder, **more) -> torch.nn.Module:
    """timm's DINOv2 B/14, narrow and shallow, in a folder as the hub's."""
    import timm
    from timm.models import save_for_hf

    sizes = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 56} | more
    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch14_dinov2", pretrained=False, num_classes=0, **sizes).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    save_for_hf(model, folder, model_args=sizes, safe_serialization=True)
    return model


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dinov2")
    return folder, save_dinov2(folder)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    """A whole SiglipModel, of which the vision tower is read."""
    from transformers import SiglipConfig, SiglipModel

    folder = tmp_path_factory.mktemp("siglip")
    vision = SIZES | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=SIZES | {"vocab_size": 50}, vision_config=vision)).eval()
    model.save_pretrained(folder)
    half, size = [0.5] * 3, {"height": 32, "width": 32}
    processor = {"do_resize": True, "image_mean": half, "image_std": half, "resample": 3, "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder, model


def test_dinov2_gives_what_forward_features_gives(dinov2):
    folder, model = dinov2
    cls, patches = TimmTokens(folder).tokens(pictures(3))
    pixels = Preprocessing((56, 56), None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(pictures(3))
    with torch.no_grad():
        expected = model.forward_features(pixels)
    torch.testing.assert_close(torch.cat([cls[:, None], patches], dim=1), expected, rtol=1e-4, atol=1e-5)
    assert patches.shape == (3, 16, 32)
    assert TimmTokens(folder).width == 32


def test_registers_are_not_among_the_patches(tmp_path):
    save_dinov2(tmp_path, reg_tokens=4)
    assert TimmTokens(tmp_path).tokens(pictures(1))[1].shape == (1, 16, 32)


def test_an_incomplete_folder_is_refused(tmp_path, dinov2):
    (tmp_path / "config.json").write_text((dinov2[0] / "config.json").read_text())
    with pytest.raises(UserError, match="holds no whole model of timm"):
        TimmTokens(tmp_path)


def test_siglip_gives_the_pooled_output_and_its_patches(siglip):
    folder, model = siglip
    cls, patches = SiglipTokens(folder).tokens(pictures(2))
    pixels = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)(pictures(2))
    with torch.no_grad():
        expected = model.vision_model(pixels)
    torch.testing.assert_close(cls, expected.pooler_output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(patches, expected.last_hidden_state, rtol=1e-4, atol=1e-5)
    assert patches.shape == (2, 16, 32)


def test_features_of_a_foundation_model_are_those_of_its_tokens(dinov2, clip_folder):
    for model in (TimmTokens(dinov2[0]), CLIPVisionTokens(clip_folder)):
        cls, patches = model.tokens(pictures(2))
        mean = torch.cat([cls[:, None], patches], dim=1).mean(dim=1)
        torch.testing.assert_close(model.encode(pictures(2))["features"], torch.cat([cls, mean], dim=1))


def test_a_foundation_model_is_loaded_by_its_entry(dinov2, clip_folder):
    entry = {"class": "TimmTokens", "source": {"path": str(dinov2[0])}}
    assert isinstance(load_foundation(entry), TimmTokens)
    assert isinstance(load_encoder(entry), TimmTokens)
    with pytest.raises(UserError, match="'clip' gives no patch tokens; take a vision transformer"):
        load_foundation({"name": "clip", "class": "CLIPImageEmbeddings", "source": {"path": str(clip_folder)}})


def dino_entry(folder) -> dict:
    model = {"kind": "encoder", "class": "TimmTokens", "source": {"path": str(folder)}}
    return {"class": "DINOSimilarity", "parts": {"model": model}}


def reference_part(folder, prompts: list[str], seed: int = 5) -> tuple[Collection, np.ndarray]:
    """One reference image of every prompt."""
    images, folder = pictures(len(prompts), seed=seed), folder / "references"
    with ShardWriter(folder, "shard", "made") as writer:
        for i, prompt in enumerate(prompts):
            writer.add(ImageRecord(key_of(i, 0), images[i], i, 0, prompt, 1))
        entry = writer.commit()
    write_part(folder / "part0.json", [entry], "made")
    return Collection([folder / "part0.json"]), images


def test_similarity_is_the_cosine_to_the_prompts_own_reference(dinov2, tmp_path):
    prompts = [f"prompt {i}" for i in range(18)]
    scorer, (references, theirs) = load_scorer(dino_entry(dinov2[0])), reference_part(tmp_path, prompts)
    scorer.compare_with(references)
    images, asked = pictures(3, seed=1), ["prompt 17", "prompt 0", "prompt 3"]
    scores = scorer.encode(images, asked)
    ours, others = (TimmTokens(dinov2[0]).tokens(some)[0].double() for some in (images, theirs))
    cosines = cosine_similarity(ours[:, None], others[None], dim=2)
    own = torch.stack([cosines[0, 17], cosines[1, 0], cosines[2, 3]])
    torch.testing.assert_close(scores["dino_similarity"].double(), own, rtol=0, atol=1e-6)
    largest = torch.stack([cosines[0, 16:].max(), cosines[1, :16].max(), cosines[2, :16].max()])
    torch.testing.assert_close(scores["dino_similarity_batch_max"].double(), largest, rtol=0, atol=1e-6)
    assert (largest > own).any()
    alone = scorer.encode(images[1:2], asked[1:2])
    torch.testing.assert_close(alone["dino_similarity_batch_max"][0], scores["dino_similarity_batch_max"][1])


def test_similarity_online_equals_that_of_files_and_takes_the_mean_over_references(dinov2, tmp_path):
    scorer, (references, theirs) = load_scorer(dino_entry(dinov2[0])), reference_part(tmp_path, ["a", "b"])
    scorer.compare_with(references)
    images, prompts = pictures(3, seed=1), ["a", "b", "a"]
    one_each = scorer.compare(images, prompts, {"a": theirs[:1], "b": theirs[1:]})
    torch.testing.assert_close(one_each, scorer.encode(images, prompts)["dino_similarity"])
    both = scorer.compare(images, ["of both"] * 3, {"of both": theirs})
    apart = [scorer.compare(images, [prompt] * 3, {}) for prompt in ("a", "b")]  # encoded before
    torch.testing.assert_close(both, (apart[0] + apart[1]) / 2)


def test_similarity_needs_references_of_the_prompt(dinov2, tmp_path):
    scorer = load_scorer(dino_entry(dinov2[0]))
    with pytest.raises(UserError, match="dino_similarity compares with reference images: give the metric"):
        scorer.encode(pictures(1), ["a"])
    scorer.compare_with(reference_part(tmp_path, ["a", "b"])[0])
    with pytest.raises(UserError, match="none of the 2 prompts with reference images is 'c'"):
        scorer.encode(pictures(1), ["c"])


def test_image_similarity_is_the_cosine_of_clip_embeddings(clip_folder, tmp_path):
    from transformers import CLIPImageProcessor, CLIPModel

    entry = {"class": "CLIPScore", "source": {"path": str(clip_folder)}}
    scorer = load_scorer({"class": "ImageSimilarity", "parts": {"clip": entry}})
    references, theirs = reference_part(tmp_path, ["a", "b"])
    scorer.compare_with(references)
    images = pictures(2, seed=1)
    model = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32)
    process = CLIPImageProcessor.from_pretrained(clip_folder)
    with torch.no_grad():
        ours, others = (
            model.get_image_features(**process(list(some), return_tensors="pt")).pooler_output
            for some in (images, theirs)
        )
    expected = cosine_similarity(ours, others)
    scores = scorer.encode(images, ["a", "b"])["image_similarity"]
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_score_images_compares_with_parts_of_references(part_file, dinov2, tmp_path, monkeypatch):
    from workflow_scripts.score_images import main

    use_registry(monkeypatch, dino=dino_entry(dinov2[0]))
    references, theirs = reference_part(tmp_path, PROMPTS[:2])
    out = tmp_path / "scores.parquet"
    parts = ["--images", str(part_file), "--references", str(references.paths[0])]
    main(["--scorer", "dino", *parts, "--batch-size", "4", "--out", str(out)])
    table = pd.read_parquet(out)
    assert list(table.columns) == ["key", "prompt_id", "k", "dino_similarity", "dino_similarity_batch_max"]
    expected = load_scorer(dino_entry(dinov2[0])).compare(
        pictures(6), [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3, {PROMPTS[0]: theirs[:1], PROMPTS[1]: theirs[1:]}
    )
    np.testing.assert_allclose(table["dino_similarity"], expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["tiny_dino_similarity", "tiny_image_similarity"])
def test_tiny_similarities_prefer_what_looks_like_the_reference(name):
    from workflow_scripts.lib.world.render import render, to_uint8
    from workflow_scripts.lib.world.scenes import Scene

    scorer = load_scorer(load_config("config").model_entry(name))
    frog, other = (to_uint8(render(Scene(*scene)))[None] for scene in (("blue", ("frog",)), ("red", ("car", "car"))))
    same, different = scorer.compare(np.concatenate([frog, other]), ["a", "a"], {"a": frog})
    assert same.item() == pytest.approx(1, abs=1e-5)
    assert different < 0.95
