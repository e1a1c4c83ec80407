"""Finding and verifying model folders."""

import hashlib

import pytest

from workflow_scripts.lib import models
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.models import (
    download_command,
    identity,
    resolve_folder,
    resolve_processor,
    resolve_weights,
    sources,
)
from workflow_scripts.ship_zoo import with_checksums

CONTENT = b"weights"
GOOD = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch):
    """A repository root with one model folder and an empty hub cache; every test verifies afresh."""
    monkeypatch.setattr(models, "ROOT", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    models._checksum.cache_clear()
    (tmp_path / "resources/zoo/clip").mkdir(parents=True)
    (tmp_path / "resources/zoo/clip/model.safetensors").write_bytes(CONTENT)
    return tmp_path


def zoo(**sha256):
    """A registry entry of the repository's model."""
    return {"source": {"path": "resources/zoo/clip"}, "sha256": sha256}


def test_a_path_source_lies_in_the_repository(repository):
    assert resolve_folder(zoo(**{"model.safetensors": GOOD})) == repository / "resources/zoo/clip"


def test_a_changed_file_is_refused_with_a_cure():
    with pytest.raises(
        UserError, match="checksum mismatch of .*model.safetensors; .*git checkout -- resources/zoo/clip"
    ):
        resolve_folder(zoo(**{"model.safetensors": "0" * 64}))


def test_missing_files_and_folders_are_refused_with_a_cure():
    with pytest.raises(UserError, match="config.json is missing.*git checkout"):
        resolve_folder(zoo(**{"config.json": GOOD}))
    with pytest.raises(UserError, match="resources/zoo/vae is missing.*git checkout -- resources/zoo/vae"):
        resolve_folder({"source": {"path": "resources/zoo/vae"}})


def test_a_file_is_read_once_per_process(monkeypatch):
    reads = []
    monkeypatch.setattr(models, "sha256", lambda path: reads.append(path) or GOOD)
    for _ in range(3):
        resolve_folder(zoo(**{"model.safetensors": GOOD}))
    assert len(reads) == 1


def hub(**more):
    """A registry entry of a hub model."""
    return {
        "source": {
            "hub": "openai/clip-vit-base-patch32",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            **more,
        }
    }


def test_a_missing_hub_model_names_repository_licence_and_command():
    message = r"openai/clip-vit-base-patch32.*https://huggingface.co/openai/clip-vit-base-patch32.*"
    with pytest.raises(
        UserError,
        match=message + "hf download openai/clip-vit-base-patch32 --revision 0123456789abcdef0123456789abcdef01234567",
    ):
        resolve_folder(hub())
    with pytest.raises(UserError, match=r"accept the terms at https://gate.example, hf auth login"):
        resolve_folder(hub() | {"gated": "https://gate.example"})


def test_a_cached_hub_model_is_found_and_verified(repository):
    snapshot = (
        repository / "hub/models--openai--clip-vit-base-patch32/snapshots/0123456789abcdef0123456789abcdef01234567"
    )
    (snapshot / "unet").mkdir(parents=True)
    (snapshot / "unet/model.safetensors").write_bytes(CONTENT)
    entry = hub(subfolder="unet")
    assert resolve_folder(entry) == resolve_folder(hub(subfolder="unet", files=["*.safetensors"])) == snapshot / "unet"
    with pytest.raises(UserError, match="not on this machine.*--include unet/config.json"):
        resolve_folder(hub(subfolder="unet", files=["config.json", "model.safetensors"]))
    with pytest.raises(UserError, match="mismatch.*delete it, then get it with: hf download .* --include 'unet/[*]'"):
        resolve_folder(entry | {"sha256": {"model.safetensors": "0" * 64}})


def test_download_commands():
    assert download_command(hub(files=["a.pt", "*.json"])["source"]).endswith("--include a.pt --include '*.json'")
    url = {"url": "https://example.org/weights/inception-2015-12-05.pt"}
    target = "resources/downloads/inception-2015-12-05/inception-2015-12-05.pt"
    assert download_command(url) == f"curl -fL --create-dirs -o {target} {url['url']}"


def test_a_url_source_lies_in_downloads(repository):
    entry = {"source": {"url": "https://example.org/net.pt"}, "sha256": {"net.pt": GOOD}}
    with pytest.raises(UserError, match="curl -fL"):
        resolve_folder(entry)
    (repository / "resources/downloads/net").mkdir(parents=True)
    (repository / "resources/downloads/net/net.pt").write_bytes(CONTENT)
    assert resolve_folder(entry) == repository / "resources/downloads/net"
    assert resolve_weights(entry) == repository / "resources/downloads/net/net.pt"


def test_a_source_of_one_file_resolves_to_it(repository):
    source = {"path": "resources/zoo/clip", "files": ["model.safetensors"]}
    assert resolve_weights({"source": source}).name == "model.safetensors"
    assert resolve_weights({"source": source | {"files": ["*"]}}).name == "clip"
    assert resolve_weights(zoo()).name == "clip"


def test_identity_of_an_entry_leaves_words_out():
    assert identity(zoo() | {"class": "CLIPScore", "title": "CLIP", "license": "MIT"}) == zoo() | {"class": "CLIPScore"}


def test_options_and_metadata_of_an_entry_decide_and_are_fetched():
    metadata = {"source": {"url": "https://example.org/prompts.jsonl"}, "license": "MIT"}
    entry = zoo() | {"options": {"target": "word (.*)"}, "metadata": metadata}
    assert identity(entry) == entry
    assert list(sources(entry)) == [zoo()["source"], metadata["source"]]


def test_processor_of_an_entry():
    assert resolve_processor(zoo()) is None
    assert resolve_processor(zoo() | {"processor": {"path": "resources/zoo/clip"}}).name == "clip"


def test_shipping_a_model_renews_its_checksums_wherever_the_registry_names_its_files(tmp_path):
    (tmp_path / "sd15/vae").mkdir(parents=True)
    (tmp_path / "sd15/vae/model.safetensors").write_bytes(CONTENT)
    entry = """sd15:
  source: {{path: {0}/sd15}}
  sha256:
    vae/model.safetensors: {1}
sdxl:
  source: {{path: {0}/sdxl}}
  sha256: {{}}
  vae:
    source: {{path: {0}/sd15/vae}}
    sha256:
      model.safetensors: {1}
    license: ours
"""
    stale, fresh = (entry.format(tmp_path, checksum) for checksum in ("0" * 64, GOOD))
    assert with_checksums(stale, tmp_path / "sd15") == fresh
    assert with_checksums(stale, tmp_path / "sd1") == stale


def test_a_missing_vae_names_its_own_repository():
    vae = {"source": {"hub": "madebyollin/sdxl-vae-fp16-fix", "revision": "0" * 40, "files": ["config.json"]}}
    with pytest.raises(UserError, match="hf download madebyollin/sdxl-vae-fp16-fix --revision 0{40} --include config"):
        resolve_folder(vae)
