"""Encoders and scorers of clips: shapes, formulas, names of published weights; video files."""

import io
import json
import tempfile

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from workflow_scripts.lib.data.images import read_dataset
from workflow_scripts.lib.data.videos import chosen_frames, read_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.results.sheets import still
from workflow_scripts.lib.rewards.encoders import CLIPVisionTokens
from workflow_scripts.lib.rewards.i3d import I3D, same_padding
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.rewards.viclip import ViCLIPVision
from workflow_scripts.lib.rewards.video_encoders import FrameTokens, I3DFeatures, TinyClipFeatures, ViCLIPTokens
from workflow_scripts.lib.rewards.video_scorers import (
    FeatureDistance,
    FrameConsistency,
    subject_consistency,
    temporal_flickering,
)
from workflow_scripts.lib.shards import ImageRecord, Part, ShardWriter, key_of, write_part
from workflow_scripts.lib.world.render import to_uint8
from workflow_scripts.lib.world.scenes import scene_of
from workflow_scripts.lib.world.video_scorer import WorldClips, motion_of, smoothness
from workflow_scripts.lib.world.videos import render_clip

ZOO = "resources/zoo"
CAPTIONS = ["a frog at top left on blue", "two cats on red", "a heart in the middle on green"]


@pytest.fixture(scope="module")
def clips():
    return np.stack([to_uint8(render_clip(scene_of(c), 4, np.random.default_rng(i))) for i, c in enumerate(CAPTIONS)])


def still_clips(clips):
    return np.repeat(clips[:, 2:3], 4, axis=1)


def test_frame_tokens_are_the_mean_of_the_frames_tokens_and_their_mean_change(clips):
    features = FrameTokens(f"{ZOO}/clip").encode(clips)["features"]
    frames = torch.stack([CLIPVisionTokens(f"{ZOO}/clip").encode(clip)["features"] for clip in clips])
    change = torch.stack([(frames[:, i + 1] - frames[:, i]).abs() for i in range(3)]).mean(0)
    assert features.shape == (3, 4 * 96)
    assert torch.allclose(features, torch.cat([frames.mean(1), change], 1), atol=1e-4)
    assert FrameTokens(f"{ZOO}/clip").encode(still_clips(clips))["features"][:, 192:].abs().max() < 1e-4


def test_an_encoder_of_clips_refuses_images_and_one_of_images_refuses_clips(clips):
    with pytest.raises(UserError, match="this model is for clips"):
        TinyClipFeatures(f"{ZOO}/extractor").encode(clips[0])
    with pytest.raises(UserError, match="this model is for images"):
        CLIPVisionTokens(f"{ZOO}/clip").encode(clips)


def test_viclip_of_base_size_gives_1569_tokens_and_1536_features(tmp_path):
    torch.manual_seed(0)
    model = ViCLIPVision(layers=1)
    save_file(
        {f"vision_encoder.{name}": value for name, value in model.state_dict().items()}
        | {"vision_encoder.proj": torch.zeros(768, 512), "text_encoder.x": torch.zeros(1)},
        tmp_path / "model.safetensors",
    )
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 8, 224, 224)).shape == (1, 1569, 768)
    clips = np.random.default_rng(0).integers(0, 255, (1, 16, 40, 64, 3)).astype(np.uint8)
    assert ViCLIPTokens(tmp_path).encode(clips)["features"].shape == (1, 1536)


def test_viclip_tells_the_order_of_frames_and_that_of_places():
    """Against CLIP's own arithmetic in the order of ViCLIP's rearrangements, by einops-like reshapes."""
    torch.manual_seed(0)
    model = ViCLIPVision(resolution=8, patch=4, width=64, layers=2, num_frames=3).eval()
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.2
    pixels = torch.randn(2, 3, 3, 8, 8)
    with torch.no_grad():
        x = model.conv1(pixels)
        b, c, t, h, w = x.shape
        x = x.permute(0, 2, 3, 4, 1).reshape(b * t, h * w, c)
        x = torch.cat([model.class_embedding.expand(b * t, 1, c), x], 1) + model.positional_embedding
        first, x = x[:b, :1], x[:, 1:]
        x = x.reshape(b, t, h * w, c).transpose(1, 2).reshape(b * h * w, t, c) + model.temporal_positional_embedding
        x = model.ln_pre(torch.cat([first, x.reshape(b, h * w * t, c)], 1))
        for block in model.transformer["resblocks"]:
            x = block(x)
        assert torch.allclose(model(pixels), model.ln_post(x), atol=1e-5)


def test_other_weights_are_no_viclip(tmp_path):
    save_file({"vision_encoder.conv1.weight": torch.zeros(4, 3, 1, 2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="does not hold ViCLIP"):
        ViCLIPTokens(tmp_path)


def test_i3d_has_the_size_and_the_names_of_the_published_network(tmp_path):
    model = I3D()
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_697_264
    names = (
        "Mixed_4b.b2b.bn.running_var",
        "Conv3d_1a_7x7.conv3d.weight",
        "logits.conv3d.bias",
        "Mixed_5c.b3b.conv3d.weight",
    )
    assert set(names) <= model.state_dict().keys()
    torch.save(model.state_dict(), tmp_path / "i3d.pt")
    clips = np.random.default_rng(0).integers(0, 255, (1, 9, 8, 8, 3)).astype(np.uint8)
    assert I3DFeatures(tmp_path / "i3d.pt").encode(clips)["features"].shape == (1, 400)
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="does not hold I3D"):
        I3DFeatures(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"), [(8, 7, 2, 2, 3), (7, 3, 2, 1, 1), (5, 3, 1, 1, 1)]
)
def test_same_padding_is_tensorflows(size, kernel, stride, before, after):
    padded = same_padding(torch.ones(1, 1, size, 1, 1), (kernel, 1, 1), (stride, 1, 1)).flatten()
    assert padded.tolist() == [0] * before + [1] * size + [0] * after


def test_consistency_and_flickering_by_hand():
    axes = torch.eye(3)
    features = torch.stack([axes[0], axes[0], axes[1]])[None]
    assert subject_consistency(features).item() == pytest.approx(0.5)  # frames: (1 + 1) / 2 and (0 + 0) / 2
    clip = np.zeros((1, 3, 2, 2, 3), np.uint8)
    clip[0, 1] = 51
    assert temporal_flickering(clip).item() == pytest.approx(0.8)
    assert temporal_flickering(np.repeat(clip[:, 1:2], 3, axis=1)).item() == 1


def test_a_still_clip_is_consistent(clips):
    scores = FrameConsistency(f"{ZOO}/clip").encode(still_clips(clips), CAPTIONS)
    assert scores["subject_consistency"].min() > 0.999
    assert (FrameConsistency(f"{ZOO}/clip").encode(clips)["subject_consistency"] < 0.999).all()


def test_consistency_by_dino_is_of_whole_frames_and_needs_no_pooling_layer(tmp_path):
    """DINO is published without one; VBench resizes the shorter edge without antialiasing and crops nothing."""
    from torchvision.transforms.functional import resize
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**sizes, image_size=32, patch_size=8), add_pooling_layer=False).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    half = [0.5] * 3
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 32, "image_mean": half, "image_std": half}))
    clips = np.random.default_rng(0).integers(0, 255, (2, 3, 80, 161, 3)).astype(np.uint8)
    pixels = resize(torch.from_numpy(clips.reshape(6, 80, 161, 3)).permute(0, 3, 1, 2), 32, antialias=False) / 127.5 - 1
    assert pixels.shape == (6, 3, 32, 64)
    with torch.no_grad():
        cls = model(pixels, interpolate_pos_encoding=True).last_hidden_state[:, 0]
    found = FrameConsistency(tmp_path).encode(clips)["subject_consistency"]
    torch.testing.assert_close(found, subject_consistency(cls.unflatten(0, (2, 3))), rtol=1e-4, atol=1e-5)
    assert (found < 0.99).all()


def part_of(folder, clips):
    with ShardWriter(folder, "part0-shard00000", "f") as writer:
        for i, clip in enumerate(clips):
            writer.add(ImageRecord(key_of(i, 0), clip, i, 0, "", 0))
        write_part(folder / "part0.json", [writer.commit()], "f", frames=clips.shape[1])
    return Part(folder / "part0.json")


def test_distance_to_targets_is_zero_for_the_targets_themselves_and_the_same_pairs_for_a_prompt(tmp_path, clips):
    scorer = FeatureDistance(f"{ZOO}/extractor")
    with pytest.raises(UserError, match="give the metric a `reference`"):
        scorer.encode(clips, CAPTIONS)
    scorer.compare_with(part_of(tmp_path, still_clips(clips)[:1]))
    distances = scorer.encode(still_clips(clips), CAPTIONS)["feature_distance"]
    assert distances[0] == pytest.approx(0, abs=1e-5)
    assert (distances[1:] > 0.01).all()
    assert torch.equal(distances, scorer.encode(still_clips(clips), CAPTIONS)["feature_distance"])


def test_lpips_is_that_of_the_package_and_zero_for_equal_frames(tmp_path, clips):
    import torchvision

    torch.manual_seed(0)
    weights = torchvision.models.alexnet(weights=None).state_dict()
    torch.save(weights, tmp_path / "alexnet.pth")
    entry = {"class": "LPIPS", "source": {"path": str(tmp_path), "files": ["alexnet.pth"]}}
    scorer = load_scorer(entry)
    big = clips[:, :, :, :, :].repeat(2, axis=2).repeat(2, axis=3)
    scorer.compare_with(part_of(tmp_path, still_clips(big)[:1]))
    distances = scorer.encode(still_clips(big), CAPTIONS)["lpips"]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert (distances[1:] > 0).all()


def test_ground_truth_of_a_steady_clip_is_full_and_falls_with_jerks_and_flicker(clips):
    jerky = clips[:, [1, 3, 0, 2]]
    pale = clips.astype(float)
    pale[:, 1::2] = 127.5 + 0.5 * (pale[:, 1::2] - 127.5)
    steady, jerks, flickers = (WorldClips().encode(c, CAPTIONS) for c in (clips, jerky, pale.astype(np.uint8)))
    assert steady["scene_accuracy"].tolist() == [1, 1, 1]
    assert steady["motion_smoothness"].tolist() == [1, 1, 1]
    assert steady["steadiness"].min() > 0.99
    assert jerks["motion_smoothness"].max() < 0.6
    assert flickers["steadiness"].max() < 0.7
    assert (flickers["quality"] < steady["quality"]).all()
    assert (jerks["quality"] < steady["quality"]).all()


def test_steps_are_read_off_a_clip(clips):
    steps, rest = motion_of(clips[0])
    assert len({tuple(step) for step in steps}) == 1
    assert abs(steps[0]).sum() == 4
    assert rest < 1e-6
    assert smoothness(np.array([[4, 0], [8, 0], [4, 0]])) == pytest.approx(0.5)


def test_a_sheet_shows_four_frames_of_a_clip_in_reading_order():
    clip = np.arange(7, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 3), np.uint8)
    assert still(clip).shape == (4, 6, 3)
    assert still(clip)[[0, 0, 2, 2], [0, 3, 0, 3], 0].tolist() == [0, 2, 4, 6]


def video(num_frames=12, size=(48, 64)):
    """An mp4 whose frame i is of gray level 20 i, its table of contents in front as in files for the web."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for i in range(num_frames):
                frame = av.VideoFrame.from_ndarray(np.full((*size, 3), 20 * i, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return file.read()


def test_frames_of_a_video_are_taken_at_equal_distances_and_cropped():
    clip = read_clip(io.BytesIO(video()), 4, (32, 32), None, "x.mp4")
    assert clip.shape == (4, 32, 32, 3)
    assert np.abs(clip.mean(axis=(1, 2, 3)) - 20 * np.array([0, 4, 7, 11])).max() < 6
    middle = read_clip(io.BytesIO(video()), 4, (32, 32), 0.375, "x.mp4")
    assert np.abs(middle.mean(axis=(1, 2, 3)) - 20 * np.array([4, 5, 6, 7])).max() < 6


def test_chosen_frames_follow_time_not_number():
    assert chosen_frames([0.0, 0.1, 0.2, 1.0, 2.0], 3, None) == [0, 3, 4]
    with pytest.raises(ValueError, match="frames in"):
        chosen_frames([0.0, 1.0], 3, None)


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"no video", lambda data: video(3)]
)
def test_a_damaged_or_short_video_is_refused_by_name(tmp_path, damage):
    (tmp_path / "a.mp4").write_bytes(damage(video()))
    source = {"name": "user_videos", "kind": "videos", "path": str(tmp_path), "seconds": None}
    with pytest.raises(UserError, match=r"a\.mp4 cannot be read as a video of at least 8 frames"):
        list(read_dataset(source, 1, (8, 32, 32), 0, tmp_path))


def test_images_for_a_generator_of_clips_are_refused(tmp_path):
    source = {"name": "user_images", "kind": "folder", "path": str(tmp_path)}
    with pytest.raises(UserError, match="'user_images' has images, but the generator makes clips"):
        list(read_dataset(source, 1, (8, 32, 32), 0, tmp_path))


def test_too_few_videos_are_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(video())
    source = {"name": "user_videos", "kind": "videos", "path": str(tmp_path), "seconds": None}
    with pytest.raises(UserError, match="2 are asked for"):
        list(read_dataset(source, 2, (8, 32, 32), 0, tmp_path))
