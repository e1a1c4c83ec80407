"""Finding and verifying model folders."""

import hashlib

import pytest

from workflow_scripts.lib import models
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.models import (
    identity,
    part_of,
    resolve_folder,
    resolve_processor,
    resolve_weights,
    sourced,
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
    monkeypatch.setattr(models, "checksum", lambda path, digits: reads.append(path) or GOOD)
    for _ in range(3):
        resolve_folder(zoo(**{"model.safetensors": GOOD}))
    assert len(reads) == 1


CURE = "get it with: HF_HUB_OFFLINE=0 snakemake --force results/downloads/models/net.json"


def hub(**more):
    """A registry entry of a hub model."""
    return {
        "name": "net",
        "source": {
            "hub": "openai/clip-vit-base-patch32",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            **more,
        },
    }


def test_a_missing_hub_model_names_repository_and_command():
    with pytest.raises(UserError, match=f"model openai/clip-vit-base-patch32 is not on this machine; {CURE}"):
        resolve_folder(hub())


def test_a_missing_folder_of_this_machine_is_not_sought_in_the_repository(tmp_path):
    with pytest.raises(UserError, match="mirror/sd15 is missing; put it there or correct `path` in config/models.yaml"):
        resolve_folder({"source": {"path": str(tmp_path / "mirror/sd15")}})


def test_a_cached_hub_model_is_found_and_verified(repository):
    snapshot = (
        repository / "hub/models--openai--clip-vit-base-patch32/snapshots/0123456789abcdef0123456789abcdef01234567"
    )
    (snapshot / "unet").mkdir(parents=True)
    (snapshot / "unet/model.safetensors").write_bytes(CONTENT)
    entry = hub(subfolder="unet")
    assert resolve_folder(entry) == resolve_folder(hub(subfolder="unet", files=["*.safetensors"])) == snapshot / "unet"
    with pytest.raises(UserError, match="not on this machine"):
        resolve_folder(hub(subfolder="unet", files=["config.json", "model.safetensors"]))
    with pytest.raises(UserError, match=f"mismatch.*delete it, then {CURE}"):
        resolve_folder(entry | {"sha256": {"model.safetensors": "0" * 64}})


def test_a_url_source_lies_in_downloads(repository):
    entry = {"name": "net", "source": {"url": "https://example.org/net.pt"}, "sha256": {"net.pt": GOOD}}
    with pytest.raises(UserError, match=CURE):
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
    named = {"name": "geneval"} | entry
    assert list(sourced(named)) == [named, {"name": "geneval"} | metadata]


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


def test_a_missing_vae_names_its_own_repository_and_the_entry_that_it_belongs_to():
    vae = {"source": {"hub": "madebyollin/sdxl-vae-fp16-fix", "revision": "0" * 40, "files": ["config.json"]}}
    with pytest.raises(UserError, match=f"madebyollin/sdxl-vae-fp16-fix is not on this machine; {CURE}"):
        resolve_folder(part_of(hub() | {"vae": vae}, "vae"))
