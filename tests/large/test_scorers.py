"""Scorers and encoders at their true size: the registry's entry, loaded and run by the command line."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from workflow_scripts.lib.rewards.geneval import TASKS
from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part

from . import architectures as true
from . import published

pytestmark = pytest.mark.large
PROMPTS = ["a photo of a red cat", "a photo of a blue dog"]
PIXELS, FRAMES = (512, 512), (16, 320, 512)
SCORES = {  # entry: what writes it, columns, and the interval in which their values lie, None where there are none
    "clip_vit_b32_score": (published.clip_of("clip_vit_b32_score", true.clip_b32), {"clipscore": (0, 2.5)}),
    "clip_vit_l14_score": (published.clip_of("clip_vit_l14_score", true.clip_l14), {"clipscore": (0, 2.5)}),
    "pickscore_v1": (published.pickscore, {"pickscore": (-15, 15)}),  # exp(2.6592) = 14.3 times a cosine
    "hps_v2": (published.hps, {"hps": (-1, 1)}),
    "imagereward_v1": (published.image_reward, {"imagereward": (-10, 10)}),
    "q16": (published.q16, {"q16": (0, 1)}),
    "geneval": (  # its metadata are of the task `colors`
        lambda work: published.geneval(work, PROMPTS),
        {"geneval": (0, 1), **{f"geneval_{task}": (0, 1) if task == "colors" else None for task in TASKS}},
    ),
    "dino_similarity": (published.dinov2, {"dino_similarity": (-1, 1), "dino_similarity_batch_max": (-1, 1)}),
    "siglip_similarity": (
        published.siglip("siglip_so400m", true.siglip_so400m, 384),
        {"siglip_similarity": (-1, 1), "siglip_similarity_batch_max": (-1, 1)},
    ),
    "image_similarity": (
        published.clip_of("clip_vit_l14_score", true.clip_l14),
        {"image_similarity": (-1, 1), "image_similarity_batch_max": (-1, 1)},
    ),
    "dino_consistency": (published.dino, {"subject_consistency": (0, 1), "temporal_flickering": (0, 1)}),
    "lpips_alex": (published.state_of("lpips_alex", true.alexnet), {"lpips": (0, 10)}),
}
FEATURES = {  # entry: what writes it, width of its features
    "clip_vit_b32_tokens": (published.clip_of("clip_vit_b32_tokens", true.clip_b32), 1536),
    "clip_vit_b32_tokens_text": (published.clip_of("clip_vit_b32_tokens_text", true.clip_b32), 2048),
    "clip_vit_b32_embeddings": (published.clip_of("clip_vit_b32_embeddings", true.clip_b32), 512),
    "dinov2_b14": (published.dinov2, 1536),
    "siglip_b16_512": (published.siglip("siglip_b16_512", true.siglip_b16, 512), 1536),
    "inception_fid": (published.state_of("inception_fid", true.inception), 2048),
    "viclip_b16_tokens": (published.viclip, 1536),
    "i3d_kinetics400": (published.state_of("i3d_kinetics400", true.I3D), 400),
}
CLIPS = {"dino_consistency", "lpips_alex", "viclip_b16_tokens", "i3d_kinetics400"}
COMPARES = {"lpips_alex", "dino_similarity", "siglip_similarity", "image_similarity"}


def write_images(folder, shape: tuple[int, ...], seed: int):
    """A part of one image, or clip, for each prompt: rough patterns and noise."""
    rng = np.random.default_rng(seed)
    with ShardWriter(folder, "shard", "made") as writer:
        for i, prompt in enumerate(PROMPTS):
            rough = np.kron(rng.integers(0, 200, (shape[-2] // 32, shape[-1] // 32, 3)), np.ones((32, 32, 1)))
            image = (rough + rng.integers(0, 56, (*shape, 3))).astype(np.uint8)
            writer.add(ImageRecord(key_of(i, 0), image, i, 0, prompt, 1))
        entry = writer.commit()
    write_part(folder / "part0.json", [entry], "made", **({"frames": shape[0]} if len(shape) == 3 else {}))
    return folder / "part0.json"


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_the_true_network(work, name):
    torch.manual_seed(0)
    write, columns = SCORES[name]
    write(work)
    shape = FRAMES if name in CLIPS else PIXELS
    images = write_images(work.folder / "images", shape, 0)
    others = ["--references", write_images(work.folder / "others", shape, 1)] if name in COMPARES else []
    out = work.folder / "scores.parquet"
    work.run("score_images", "--scorer", name, "--images", images, *others, "--batch-size", "32", "--out", out)
    table = pd.read_parquet(out)
    assert list(table.columns) == ["key", "prompt_id", "k", *columns]
    for column, interval in columns.items():
        if interval is None:
            assert table[column].isna().all(), table
        else:
            assert table[column].between(interval[0] - 1e-5, interval[1] + 1e-5).all(), table
    if name not in ("geneval", "clip_vit_b32_score", "clip_vit_l14_score"):  # their floor is 0
        assert table[next(iter(columns))].nunique() == len(PROMPTS)
    work.record(name, f"score_images, {len(PROMPTS)} of {' × '.join(map(str, shape))}")


@pytest.mark.parametrize("name", FEATURES)
def test_features_of_the_true_network(work, name):
    torch.manual_seed(0)
    write, width = FEATURES[name]
    write(work)
    shape = FRAMES if name in CLIPS else PIXELS
    images, out = write_images(work.folder / "images", shape, 0), work.folder / "features.safetensors"
    work.run("encode_images", "--encoder", name, "--images", images, "--batch-size", "32", "--out", out)
    features = load_file(out)["features"]
    assert features.shape == (len(PROMPTS), width) and features.isfinite().all()
    assert not torch.allclose(features[0], features[1])
    work.record(name, f"encode_images, {len(PROMPTS)} of {' × '.join(map(str, shape))}")
