"""Downloads within a run: before the jobs that need them, checked together, never a reason to run a job again."""

from __future__ import annotations

import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.unit.hub_server import COMMIT, Hub, Repository
from tests.workflow.study import IMAGES, REPOSITORY, SNAKEMAKE, TINY, Study, jobs_of, make_study
from workflow_scripts.lib.files import read_json

CLIP = REPOSITORY / "resources/zoo/clip"
FEATURES = "results/tiny/features/clip_tokens/images/proxies.32x32/part0.safetensors"
RECORDS = ("results/downloads/models/tiny_clip_tokens.json", "results/downloads/data/hub_images.json")
HUB_IMAGES = {
    "title": "images on the hub",
    "kind": "hub",
    "hub": "owner/images",
    "revision": COMMIT,
    "files": ["images.tgz"],
    "license": "ours",
    "gated": "https://gate.example/images",
    "size_gb": None,
}


@pytest.fixture
def hub(monkeypatch):
    """A hub with the tiny CLIP and a data set of images, both with terms to accept."""
    clip = {path.name: path.read_bytes() for path in CLIP.iterdir()}
    repositories = {
        ("model", "owner/clip"): Repository(clip, gated=True),
        ("dataset", "owner/images"): Repository({"images.tgz": archive()}, gated=True),
    }
    hub = Hub(repositories)
    with hub.serving():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def archive() -> bytes:
    """A .tgz of as many images as the reduced tiny scale has proxies."""
    packed, rng = io.BytesIO(), np.random.default_rng(0)
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for i in range(IMAGES):
            image = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(image, "png")
            member = tarfile.TarInfo(f"{i}.png")
            member.size = image.tell()
            files.addfile(member, io.BytesIO(image.getvalue()))
    return packed.getvalue()


@pytest.fixture
def study(tmp_path) -> Study:
    """The tiny scale with its CLIP and its proxies on the hub."""
    study = make_study(tmp_path / "study")
    source = {"hub": "owner/clip", "revision": COMMIT, "files": sorted(path.name for path in CLIP.iterdir())}
    gate = "https://gate.example/clip"
    study.edit("config/models.yaml", lambda all_: all_["tiny_clip_tokens"].update(source=source, gated=gate))
    study.edit("config/data.yaml", lambda all_: all_.update(hub_images=HUB_IMAGES))
    study.edit(TINY, lambda scale: scale["data"].update(proxies="hub_images"))
    return study


def test_a_branch_stays_the_commit_of_the_first_download_also_where_a_later_one_fails(hub, study, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    source = "config/models.yaml"
    study.edit(source, lambda all_: all_["tiny_clip_tokens"]["source"].update(revision="main"))
    online(study, RECORDS[0])
    first = read_json(study.root / RECORDS[0])
    newer = {name: b"{}" for name in hub.repositories["model", "owner/clip"].files}
    hub.repositories["model", "owner/clip"].move("f" * 40, newer)
    next(study.root.glob("resources/downloads/models/**/config.json")).write_bytes(b"damaged")
    assert "config.json; delete it" in online(study, "--force", RECORDS[0], check=False).stdout
    assert read_json(study.root / RECORDS[0]) == first
    shutil.rmtree(study.root / "resources/downloads/models")
    online(study, "--force", RECORDS[0])
    assert read_json(study.root / RECORDS[0]) == first
    assert first["sources"][0]["revision"] == "main" and first["sources"][0]["commit"] == COMMIT
    study.edit(source, lambda all_: all_["tiny_clip_tokens"]["source"].update(revision="f" * 40))
    online(study, RECORDS[0])
    assert read_json(study.root / RECORDS[0])["sources"][0]["commit"] == "f" * 40, (
        "a newer one is a line of the registry"
    )


def online(study: Study, *words: str, check: bool = True):
    return study.run("env", "HF_HUB_OFFLINE=0", *SNAKEMAKE, *words, check=check, warm=False)


def test_what_is_missing_stops_a_run_before_it_starts_with_everything_in_one_error(hub, study):
    offline = study.snakemake(FEATURES, check=False, warm=False)
    refused = online(study, FEATURES, check=False)
    for done in (offline, refused):
        assert done.returncode != 0
        assert "https://gate.example/clip" in done.stdout and "https://gate.example/images" in done.stdout
        assert "hf auth login" in done.stdout
    assert "HF_HUB_OFFLINE=0" in offline.stdout
    assert not hub.downloads() and not (study.root / "results").exists()


def test_downloads_come_first_and_never_make_a_job_run_again(hub, study, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    done = online(study, FEATURES, "--until", "fetch_model", "fetch_data")
    assert jobs_of(done.stdout) == {"fetch_model": 1, "fetch_data": 1, "total": 2}
    assert [read_json(study.root / path)["sources"][0]["commit"] for path in RECORDS] == [COMMIT] * 2
    assert not (study.root / "results/tiny").exists(), "nothing but downloads"
    study.snakemake(FEATURES, warm=False)
    (study.root / RECORDS[0]).touch()
    (study.root / RECORDS[1]).unlink()
    assert study.dry_run(FEATURES) == {}, "neither a newer record nor one that is gone"
    (study.root / FEATURES).unlink()
    shutil.rmtree(study.root / "resources/downloads/models")
    lost = study.snakemake(FEATURES, check=False, warm=False).stdout
    assert f"no longer here; get them with: HF_HUB_OFFLINE=0 snakemake --force {RECORDS[0]}" in lost
