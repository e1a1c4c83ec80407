"""Pickled weights: what is read of them, and the safetensors files that a download makes of them."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.unit.hub_server import COMMIT
from workflow_scripts.lib import models, pickles
from workflow_scripts.lib.downloads import downloads_of_model, fetch
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import sha256
from workflow_scripts.lib.pickles import ARRAY, convert, convert_all, read_tensors

pytest_plugins = ["tiny_encoders"]

EMBEDDING = torch.arange(6.0).reshape(2, 3)
WEIGHTS = {
    "embedding": EMBEDDING,
    "tied": EMBEDDING,
    "part": EMBEDDING[1],
    "transposed": EMBEDDING.T,
    "half": torch.tensor([1.0, float("nan"), -0.0]).to(torch.bfloat16),
    "ids": torch.arange(3),
    "learnt": torch.nn.Parameter(torch.ones(2)),
    "scale": torch.tensor(4.6),
    "none": torch.empty(0),
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """An empty repository."""
    monkeypatch.setattr(models, "ROOT", tmp_path / "repository")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "repository"


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "net.pt"
    torch.save(WEIGHTS, path)
    return path


def same_bits(one: dict, other: dict) -> bool:
    def bits(tensor: torch.Tensor) -> tuple:
        return tensor.dtype, tuple(tensor.shape), tensor.detach().contiguous().flatten().view(torch.uint8).tolist()

    return one.keys() == other.keys() and all(bits(one[name]) == bits(other[name]) for name in one)


@pytest.mark.parametrize("content", [WEIGHTS, {"state_dict": WEIGHTS, "epoch": 3}], ids=["plain", "checkpoint"])
@pytest.mark.parametrize("old", [False, True], ids=["zip", "before torch 1.6"])
def test_a_converted_file_has_the_same_tensors_bit_for_bit(tmp_path, root, content, old):
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=not old)
    unconverted = read_tensors(tmp_path / "net.pt")
    converted = convert(tmp_path / "net.pt")
    assert converted == root / f"resources/downloads/safetensors/{sha256(tmp_path / 'net.pt')}.safetensors"
    assert same_bits(load_file(converted), WEIGHTS) and same_bits(unconverted, WEIGHTS)
    assert same_bits(read_tensors(tmp_path / "net.pt"), WEIGHTS)


def test_it_is_converted_once_and_read_instead_of_the_pickle(file, monkeypatch):
    before = convert(file).stat().st_mtime_ns
    monkeypatch.setattr(pickles, "_unpickled", None)
    assert convert(file).stat().st_mtime_ns == before
    assert same_bits(read_tensors(file), WEIGHTS)


def test_a_pickle_that_changes_is_converted_again(file):
    first = convert(file)
    torch.save({"other": EMBEDDING}, file)
    assert same_bits(read_tensors(file), {"other": EMBEDDING}), "what the old one became is not taken for it"
    assert convert(file) != first and same_bits(load_file(first), WEIGHTS)


def test_an_interrupted_conversion_leaves_nothing_that_counts(file, monkeypatch):
    def interrupted(tensors: dict, path: Path, about: dict) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("safetensors.torch.save_file", interrupted)
        convert(file)
    assert not list(pickles._folder().iterdir()) and same_bits(read_tensors(file), WEIGHTS)
    assert same_bits(load_file(convert(file)), WEIGHTS)


def test_a_converted_file_that_is_damaged_or_of_another_pickle_is_refused(file, tmp_path):
    converted = convert(file)
    torch.save({"other": EMBEDDING}, tmp_path / "other.pt")
    convert(tmp_path / "other.pt").replace(converted)
    with pytest.raises(UserError, match="is not made from .*net.pt; delete it"):
        read_tensors(file)
    converted.write_bytes(converted.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged .*; delete it"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weights": EMBEDDING, "epoch": 3}, "'epoch' is a int"),
        ({"state_dict": [EMBEDDING]}, "it holds a list"),
        ({1: EMBEDDING}, "1 is a Tensor"),
        (EMBEDDING, "it holds a Tensor"),
        (Path("somewhere"), "nothing in it was run"),
    ],
)
def test_what_is_no_file_of_tensors_alone_is_refused(file, content, reason):
    torch.save(content, file)
    for read in (convert, read_tensors):
        with pytest.raises(UserError, match=f"net.pt is not a file of tensors alone.*{reason}"):
            read(file)
    assert not pickles._folder().exists()


@pytest.mark.parametrize("name", ["net.pt", "net.p"])
def test_nothing_that_a_pickle_asks_for_is_run(tmp_path, name):
    class Trap:
        def __reduce__(self):
            return subprocess.run, (["touch", str(tmp_path / "sprung")],)

    for write in (lambda trap, path: path.write_bytes(pickle.dumps(trap)), torch.save):
        write({"weights": Trap()}, tmp_path / name)
        with pytest.raises(UserError):
            convert(tmp_path / name)
    (tmp_path / name).write_bytes(b"no pickle")
    with pytest.raises(UserError):
        convert(tmp_path / name)
    assert not (tmp_path / "sprung").exists() and not pickles._folder().exists()


def test_the_pickle_of_an_array_becomes_one_tensor(tmp_path):
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(array, protocol=3))
    convert(tmp_path / "prompts.p")
    assert same_bits(read_tensors(tmp_path / "prompts.p"), {ARRAY: torch.from_numpy(array)})


def test_a_download_converts_what_is_named_and_leaves_the_cache_alone(tmp_path, root):
    snapshot = tmp_path / f"cache/models--owner--name/snapshots/{COMMIT}"
    blobs = tmp_path / "cache/models--owner--name/blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name in ("pytorch_model.bin", "training_args.bin"):
        torch.save({name: EMBEDDING}, tmp_path / name)
        blob = (tmp_path / name).rename(blobs / sha256(tmp_path / name))
        (snapshot / name).symlink_to(f"../../blobs/{blob.name}")
    before = sorted(tmp_path.glob("cache/**/*"))
    source = {"hub": "owner/name", "revision": COMMIT, "files": ["pytorch_model.bin", "training_*"]}
    entry = {"name": "net", "title": "Net", "license": "MIT", "gated": None, "source": source}
    checksum = (snapshot / "pytorch_model.bin").resolve().name
    downloads = downloads_of_model(entry)
    assert set(fetch(entry, downloads)["sources"][0]["files"]) == {"pytorch_model.bin", "training_args.bin"}
    assert convert_all(downloads) == {"pytorch_model.bin": f"{checksum}.safetensors"}
    assert [path.stem for path in pickles._folder().iterdir()] == [checksum]
    assert sorted(tmp_path.glob("cache/**/*")) == before
    assert same_bits(read_tensors(snapshot / "pytorch_model.bin"), {"pytorch_model.bin": EMBEDDING})


def test_a_model_of_transformers_is_the_same_from_its_pickle_and_from_what_that_became(tmp_path, clip_folder):
    from transformers import CLIPModel, CLIPVisionModel

    from workflow_scripts.lib.rewards.encoders import from_pretrained

    expected = {kind: from_pretrained(kind, clip_folder, "cpu", torch.float32) for kind in (CLIPModel, CLIPVisionModel)}
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_bytes((clip_folder / "config.json").read_bytes())
    torch.save(load_file(clip_folder / "model.safetensors"), folder / "pytorch_model.bin")
    for _ in range(2):
        for kind, model in expected.items():
            found = from_pretrained(kind, folder, "cpu", torch.float32)
            assert same_bits(found.state_dict(), model.state_dict()) and not found.training
            half = from_pretrained(kind, folder, "cpu", torch.bfloat16)
            assert half.dtype == torch.bfloat16
        convert(folder / "pytorch_model.bin")
    torch.save({"logit_scale": torch.tensor(1.0)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickled holds no weights for"):
        from_pretrained(CLIPVisionModel, folder, "cpu", torch.float32)
