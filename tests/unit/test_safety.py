"""Q16, NudeNet and IP against independent computations: transformers, OpenCV, and cases made by hand."""

import pickle
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoders import pictures

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.models import identity
from workflow_scripts.lib.pickles import read_array
from workflow_scripts.lib.rewards import safety
from workflow_scripts.lib.rewards.safety import Inappropriate, NudeNet, network_input
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.spec import load_config

pytest_plugins = ["tiny_encoders"]

FEMALE_GENITALIA, BELLY, MALE_GENITALIA = 4, 13, 14


def test_q16_is_the_nearer_of_two_prompts(tmp_path, clip_folder):
    from transformers import CLIPImageProcessor, CLIPModel

    images = pictures(6)
    model = CLIPModel.from_pretrained(clip_folder, dtype=torch.float32)
    pixels = CLIPImageProcessor.from_pretrained(clip_folder)(list(images), return_tensors="pt")
    with torch.no_grad():
        found = model.get_image_features(**pixels).pooler_output
    prompts = 3 * found[:2].numpy().astype(np.float16)
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(prompts, protocol=3))
    clip = {"class": "CLIPScore", "source": {"path": str(clip_folder)}}
    entry = {"class": "Q16", "source": {"path": str(tmp_path), "files": ["prompts.p"]}, "parts": {"clip": clip}}
    cosine = torch.nn.functional.cosine_similarity(found[:, None], torch.from_numpy(prompts).float()[None], dim=2)
    difference = 100 * (cosine[:, 1] - cosine[:, 0])
    probability = load_scorer(entry).encode(images)["q16"]
    torch.testing.assert_close(probability, 1 / (1 + torch.exp(-difference)), rtol=1e-3, atol=1e-4)
    assert probability[0] < 0.5 < probability[1]


def test_a_pickle_of_anything_but_an_array_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return subprocess.run, (["touch", str(tmp_path / "sprung")],)

    for content, reason in ((Trap(), "asks for subprocess.run"), ([1, 2], "holds a list")):
        (tmp_path / "prompts.p").write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match=reason):
            read_array(tmp_path / "prompts.p")
    assert not (tmp_path / "sprung").exists()
    (tmp_path / "prompts.p").write_bytes(b"not a pickle")
    with pytest.raises(UserError, match="not the pickle"):
        read_array(tmp_path / "prompts.p")


def test_a_pickle_of_an_older_numpy_is_read(tmp_path):
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    new = pickle.dumps(array, protocol=3)
    (tmp_path / "prompts.p").write_bytes(new.replace(b"numpy._core.", b"numpy.core."))
    assert np.array_equal(read_array(tmp_path / "prompts.p"), array)


def test_arrays_of_either_order_are_read_as_numpy_does(tmp_path):
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    for stored in (array, np.asfortranarray(array), array.astype(float)):
        (tmp_path / "prompts.p").write_bytes(pickle.dumps(stored, protocol=3))
        assert np.array_equal(read_array(tmp_path / "prompts.p"), array)


def _calls(function, *arguments):
    """What pickles to a call of a function."""
    return type("Call", (), {"__reduce__": lambda self: (function, arguments)})()


@pytest.mark.parametrize(
    "content",
    [
        _calls(np.ndarray, (1,), np.dtype(np.float32), b"AAAAAAAA"),
        _calls(np.ndarray, (1,), np.dtype(object), b"AAAAAAAA"),
        np.array(["a"], dtype=object),
        np.array([1, 2]),
        [np.zeros(2, np.float32)],
        np.ndarray,
    ],
    ids=["a call", "bytes as addresses", "objects", "whole numbers", "a list", "a class"],
)
def test_a_pickle_that_uses_numpy_otherwise_is_refused(tmp_path, content):
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(content, protocol=3))
    with pytest.raises(UserError, match="not the pickle of a plain array|not an array"):
        read_array(tmp_path / "prompts.p")


def detections(*boxes: tuple) -> np.ndarray:
    """A network output (22, boxes) of boxes (centre x, y, width, height, label, score)."""
    output = np.zeros((22, len(boxes)), np.float32)
    for i, (*box, label, score) in enumerate(boxes):
        output[:4, i] = box
        output[4 + label, i] = score
    return output


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(100, 100, 40, 40, MALE_GENITALIA, 0.6)], True),
        ([(100, 100, 40, 40, FEMALE_GENITALIA, 0.26)], True),
        ([(100, 100, 40, 40, FEMALE_GENITALIA, 0.24)], False),
        ([(100, 100, 40, 40, BELLY, 0.9)], False),
        ([(100, 100, 40, 40, BELLY, 0.9), (100, 104, 40, 40, MALE_GENITALIA, 0.6)], False),  # overlap 0.82: suppressed
        ([(100, 100, 40, 40, BELLY, 0.9), (100, 130, 40, 40, MALE_GENITALIA, 0.6)], True),  # overlap 0.14
    ],
)
def test_only_confident_genitalia_that_no_better_box_covers_count(boxes, expected):
    assert safety.shows_genitalia(detections(*boxes)) is expected


def test_suppression_keeps_the_boxes_that_opencv_keeps():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for _ in range(20):
        corners, sizes = rng.uniform(0, 200, (40, 2)), rng.uniform(20, 110, (40, 2))
        scores = rng.uniform(0.1, 0.9, 40)
        expected = cv2.dnn.NMSBoxes(np.hstack([corners, sizes]).tolist(), scores.tolist(), 0.25, 0.45)
        kept = safety.non_maximum_suppression(np.hstack([corners + sizes / 2, sizes]), scores)
        assert kept == list(expected)
        assert 2 < len(kept) < 40


@pytest.mark.parametrize("shape", [(64, 64), (48, 96), (400, 350)])
def test_nudenet_sees_what_opencv_makes_of_an_image(shape):
    cv2 = pytest.importorskip("cv2")
    image = pictures(1, *shape)[0]
    side = max(shape)
    square = cv2.copyMakeBorder(image, 0, side - shape[0], 0, side - shape[1], cv2.BORDER_CONSTANT)
    expected = cv2.dnn.blobFromImage(square, 1 / 255, (320, 320), swapRB=True)
    found = network_input(image)
    assert found.shape == (1, 3, 320, 320)
    assert np.abs(found - expected).max() < 1.5 / 255
    assert np.abs(found - expected[:, ::-1]).max() > 0.2


@pytest.fixture
def nudenet(tmp_path, monkeypatch):
    """NudeNet whose network finds genitalia in images that are mostly red; the wheel holds the weights it is given."""
    import onnxruntime

    def network(name, inputs):
        blue, _, red = inputs["images"][0].mean(axis=(1, 2))
        return [detections((100, 100, 40, 40, MALE_GENITALIA, float(red > blue)))[None]]

    def session(weights, providers):
        assert weights == b"weights"
        return SimpleNamespace(run=network, get_inputs=lambda: [SimpleNamespace(name="images")])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with zipfile.ZipFile(tmp_path / "nudenet.whl", "w") as wheel:
        wheel.writestr("nudenet/320n.onnx", b"weights")
    return NudeNet(tmp_path / "nudenet.whl", "cpu", torch.float32)


def test_an_image_is_inappropriate_if_either_objects(nudenet):
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[:2, ..., 0] = 200  # red
    images[2:, ..., 2] = 200  # blue
    q16 = SimpleNamespace(encode=lambda images: {"q16": torch.tensor([0.9, 0.1, 0.9, 0.5])})
    scores = Inappropriate(q16, nudenet).encode(images)
    assert scores["nudenet"].tolist() == [1, 1, 0, 0]
    assert scores["ip"].tolist() == [100, 100, 100, 0]


def test_what_a_part_is_made_of_belongs_to_the_whole():
    entry = load_config().model_entry("inappropriate")
    assert {part["class"] for part in entry["parts"].values()} == {"Q16", "NudeNet"}
    changed = load_config().model_entry("inappropriate")
    changed["parts"]["q16"]["parts"]["clip"]["source"]["revision"] = "another"
    assert identity(changed) != identity(entry)
