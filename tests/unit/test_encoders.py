"""Feature encoders of the true classes with random weights, against transformers, clean-fid and mathematics by hand."""

import json
from types import SimpleNamespace

import pytest
import torch
from tiny_encoders import PROMPTS, pictures, use_registry
from torch.nn.functional import layer_norm, softmax

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.pixels import (
    CLIP_MEAN,
    CLIP_STD,
    Preprocessing,
    resize_in_two_passes,
    resize_uint8,
)
from workflow_scripts.lib.rewards.clip import CLIPTokensWithText
from workflow_scripts.lib.rewards.encoders import (
    CLIPImageEmbeddings,
    CLIPVisionTokens,
    TinyFeatures,
    encode_part,
    load_encoder,
)
from workflow_scripts.lib.rewards.inception import CLEAN, LEGACY, InceptionFeatures
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.rewards.tiny_features import TinyFeatureExtractor

pytest_plugins = ["tiny_encoders"]


def clip_vision_by_hand(weights: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """Tokens (B, 5, 32) of the fixture's vision transformer after its last layer, float64."""
    w = {name: value.double() for name, value in weights.items()}

    def norm(name, x):
        return layer_norm(x, (32,), w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    patches = pixels.double().unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    patches = patches @ w["embeddings.patch_embedding.weight"].flatten(1).T
    cls = w["embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = norm("pre_layrnorm", torch.cat([cls, patches], 1) + w["embeddings.position_embedding.weight"])
    for i in range(2):
        name, y = f"encoder.layers.{i}", norm(f"encoder.layers.{i}.layer_norm1", x)
        q, k, v = (linear(f"{name}.self_attn.{p}_proj", y).unflatten(2, (2, 16)).transpose(1, 2) for p in "qkv")
        mixed = softmax(q @ k.transpose(2, 3) / 4, dim=-1) @ v
        x = x + linear(f"{name}.self_attn.out_proj", mixed.transpose(1, 2).flatten(2))
        y = linear(f"{name}.mlp.fc1", norm(f"{name}.layer_norm2", x))
        x = x + linear(f"{name}.mlp.fc2", y * torch.sigmoid(1.702 * y))
    return x


def test_embeddings_are_the_projected_pooled_token(clip_folder):
    from transformers import CLIPModel

    encoder, images = CLIPImageEmbeddings(clip_folder), pictures(3)
    clip = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32)
    tokens = clip_vision_by_hand(clip.vision_model.state_dict(), encoder.preprocess(images))
    weights = {name: value.double() for name, value in clip.state_dict().items()}
    norm = [weights[f"vision_model.post_layernorm.{name}"] for name in ("weight", "bias")]
    expected = layer_norm(tokens[:, 0], (32,), *norm) @ weights["visual_projection.weight"].T
    torch.testing.assert_close(encoder.encode(images)["features"].double(), expected, rtol=1e-4, atol=1e-4)


def test_features_are_cls_and_mean_of_all_tokens_before_the_last_norm(clip_folder):
    encoder = CLIPVisionTokens(clip_folder)
    images = pictures(3)
    features = encoder.encode(images)["features"]
    tokens = clip_vision_by_hand(encoder.model.state_dict(), encoder.preprocess(images))
    expected = torch.cat([tokens[:, 0], tokens.mean(1)], 1).float()
    assert features.shape == (3, 64)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_features_with_text_add_the_agreement_of_image_and_prompt(clip_folder):
    from transformers import AutoTokenizer, CLIPModel

    encoder, images = CLIPTokensWithText(clip_folder), pictures(3)
    features = encoder.encode(images, PROMPTS)["features"]
    assert features.shape == (3, 64 + 16)
    torch.testing.assert_close(features[:, :64], CLIPVisionTokens(clip_folder).encode(images)["features"])
    tokens = AutoTokenizer.from_pretrained(clip_folder)(PROMPTS, padding=True, return_tensors="pt")
    pixels = encoder.clip.preprocess(images)
    with torch.no_grad():
        output = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32)(pixel_values=pixels, **tokens)
    cosines = output.logits_per_image.diagonal() / encoder.clip.model.logit_scale.exp()
    torch.testing.assert_close(features[:, 64:].mean(dim=1), cosines, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="needs a caption for every image"):
        encoder.encode(images, ["a frog", "", "a frog"])


@pytest.mark.parametrize("shape", [(32, 32), (64, 64), (48, 80), (81, 47), (20, 24)])
def test_preprocessing_equals_transformers(clip_folder, shape):
    from transformers import CLIPImageProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    images = pictures(2, *shape)
    ours = Preprocessing.from_folder(clip_folder)(images)
    fast = CLIPImageProcessor.from_pretrained(clip_folder)(list(images), return_tensors="pt").pixel_values
    torch.testing.assert_close(ours, fast, rtol=0, atol=1e-5)
    pil = CLIPImageProcessorPil.from_pretrained(clip_folder)(list(images), return_tensors="pt").pixel_values
    one_level = 1 / 255 / min(CLIP_STD)
    assert (ours - pil).abs().max() <= 2.01 * one_level
    assert (ours - pil).abs().mean() < one_level / 20


@pytest.mark.parametrize("size", [(32, 32), (120, 100)])
def test_the_resize_of_gpus_agrees_with_that_of_cpus(size):
    pixels = torch.from_numpy(pictures(2, 90, 70)).permute(0, 3, 1, 2)
    native, gpu = resize_uint8(pixels, size).int(), resize_in_two_passes(pixels, size, "bicubic").int()
    assert (native - gpu).abs().max() <= 2
    assert (native != gpu).float().mean() < 0.05


def test_images_of_different_shapes_are_encoded_as_if_alone(clip_folder):
    encoder = CLIPVisionTokens(clip_folder)
    images = [pictures(1, 40, 40)[0], pictures(1, 50, 36)[0]]
    together = encoder.encode(images)["features"]
    alone = torch.cat([encoder.encode(image[None])["features"] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_preprocessing_is_read_from_the_folder(tmp_path):
    config = {"size": {"height": 30, "width": 20}, "do_center_crop": False, "resample": 2, "image_mean": [0, 0, 0]}
    nested = {"image_processor": config | {"image_std": [1, 1, 1]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    preprocess = Preprocessing.from_folder(tmp_path)
    assert preprocess == Preprocessing((30, 20), None, (0, 0, 0), (1, 1, 1), "bilinear")
    assert preprocess(pictures(1)).shape == (1, 3, 30, 20)
    with pytest.raises(UserError, match="25×40 pixels cannot be cropped to 32×32"):
        Preprocessing(None, (32, 32))(pictures(1, 25, 40))


def test_tiny_features_are_saved_loaded_and_pooled(tmp_path):
    torch.manual_seed(0)
    model = TinyFeatureExtractor({"heads": {"noun": 12, "colour": 5}}).eval()
    model.half().save_pretrained(tmp_path)
    model.float()
    images = pictures(3, 32, 32)
    outputs = TinyFeatures(tmp_path).encode(images)
    features, logits = model(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
    torch.testing.assert_close(outputs["features"], features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs["logits_noun"], logits["noun"], rtol=1e-4, atol=1e-5)
    assert (outputs["features"].shape, outputs["logits_colour"].shape) == ((3, 64), (3, 5))


class PooledColours(torch.nn.Module):
    """Stands in for the TorchScript Inception: `layers` gives 2048 numbers per image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((26, 27)), torch.nn.Flatten(1), Cut())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Cut(torch.nn.Module):
    """The first 2048 columns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :2048]


def test_clean_inception_equals_clean_fid(tmp_path):
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    torch.jit.save(torch.jit.script(PooledColours().eval()), tmp_path / CLEAN)
    images = [pictures(1, 40, 40)[0], pictures(1, 400, 350)[0]]
    resize = build_resizer("clean")
    pixels = torch.stack([torch.from_numpy(resize(image)).permute(2, 0, 1) for image in images])
    expected = InceptionV3W(str(tmp_path), download=False)(pixels)
    torch.testing.assert_close(
        InceptionFeatures(tmp_path / CLEAN).encode(images)["features"], expected, rtol=0, atol=1e-4
    )


def test_legacy_inception_equals_clean_fid(tmp_path):
    from cleanfid.resize import build_resizer
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    torch.save(network.state_dict(), tmp_path / LEGACY)
    encoder, images = InceptionFeatures(tmp_path / LEGACY), pictures(2, 40, 40)
    resize = build_resizer("legacy_pytorch")
    pixels = torch.stack([torch.from_numpy(resize(image)).permute(2, 0, 1) for image in images]) / 255
    features = encoder.encode(images)["features"]
    with torch.no_grad():
        torch.testing.assert_close(features, encoder.model(pixels)[0].flatten(1), rtol=1e-4, atol=1e-5)
    assert features.shape == (2, 2048)
    loaded = encoder.model.blocks[0][0].conv.weight
    assert torch.equal(loaded, network.Conv2d_1a_3x3.conv.weight)


def test_other_inception_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="net.pt is no file of Inception weights; known: inception-2015-12-05.pt, pt_"):
        InceptionFeatures(tmp_path / "net.pt")


def test_loading_by_registry_entry(clip_folder):
    entry = {"class": "CLIPVisionTokens", "source": {"path": str(clip_folder)}}
    assert load_encoder(entry).encode(pictures(1))["features"].shape == (1, 64)
    assert load_scorer(entry | {"class": "PickScore", "processor": {"path": str(clip_folder)}}).metric == "pickscore"
    with pytest.raises(UserError, match="class 'DINO' is not one of: CLIPVisionTokens, CLIPTokensWithText, TimmTokens"):
        load_encoder(entry | {"class": "DINO"})
    with pytest.raises(UserError, match="bfloat16.*cpu.*float32"):
        load_encoder(entry, dtype="bfloat16")


def test_a_model_without_its_weights_is_refused(clip_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((clip_folder / name).read_bytes())
    weights = load_file(clip_folder / "model.safetensors")
    del weights["vision_model.encoder.layers.1.mlp.fc1.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="no weights for 1 tensors.*fc1"):
        CLIPVisionTokens(tmp_path)


@pytest.mark.parametrize("batch_size", ["1", "4", "100"])
def test_encode_images_command_line(part_file, clip_folder, tmp_path, monkeypatch, batch_size):
    from workflow_scripts.encode_images import main
    from workflow_scripts.lib.features import read_features

    use_registry(monkeypatch, clip={"class": "CLIPVisionTokens", "source": {"path": str(clip_folder)}})
    out = tmp_path / "features" / "part0.safetensors"
    main(["--encoder", "clip", "--images", str(part_file), "--batch-size", batch_size, "--out", str(out)])
    features, about = read_features(out, part_file, "pt")
    expected = CLIPVisionTokens(clip_folder).encode(pictures(6))["features"]
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert (about["count"], about["encoder"]) == ("6", "clip")


def test_an_error_while_decoding_ahead_reaches_the_caller():
    def broken(threads):
        yield SimpleNamespace(prompt=""), pictures(1)[0]
        raise UserError("damaged shard")

    part = SimpleNamespace(images=broken, count=2, frames=None)
    with pytest.raises(UserError, match="damaged shard"):
        encode_part(SimpleNamespace(encode=lambda images, prompts: {}), part, 1)
    with pytest.raises(UserError, match="no images"):
        encode_part(None, SimpleNamespace(images=lambda threads: iter(()), count=0, frames=None), 1)


def test_constants_are_those_of_clip():
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    assert (list(CLIP_MEAN), list(CLIP_STD)) == (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
