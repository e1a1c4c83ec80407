"""Fetching registry entries, with the hub's own client against a small hub on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.unit.hub_server import COMMIT, Hub, Repository
from workflow_scripts.lib import models
from workflow_scripts.lib.downloads import (
    check_downloads,
    downloads_of_data,
    downloads_of_model,
    fetch,
    files_of_data,
    size_gb,
    with_parts,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import write_json
from workflow_scripts.lib.hub import HubFiles
from workflow_scripts.lib.spec import load_config
from workflow_scripts.lib.web import UrlFile

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS, OTHERS = os.urandom(300_000), b'{"a": 1}'
REPOSITORY = "owner/name"
FILES = {"config.json": OTHERS, "unet/model.safetensors": WEIGHTS, "unet/other.bin": b"not wanted"}
WANTED = ("config.json", "unet/*.safetensors")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def hub():
    hub = Hub(
        {
            ("model", REPOSITORY): Repository(dict(FILES)),
            ("dataset", REPOSITORY): Repository({"a.tgz": WEIGHTS, "list.json": OTHERS, "b.tgz": b"not wanted"}),
            ("model", "owner/gated"): Repository(dict(FILES), gated=True),
            ("dataset", "owner/gated"): Repository({"a.tgz": WEIGHTS}, gated=True),
        }
    )
    with hub.serving():
        yield hub


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, request):
    """An empty cache, an empty repository root, and the small hub in place of the real one."""
    monkeypatch.setattr(models, "ROOT", tmp_path)
    reach(request.getfixturevalue("hub").url, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub._tree_cache._IN_MEMORY_TREE_CACHE", {})
    monkeypatch.delenv("HF_TOKEN", raising=False)
    models._checksum.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reach(url: str, monkeypatch, offline: bool = False) -> None:
    """What HF_ENDPOINT and HF_HUB_OFFLINE set before huggingface_hub is imported."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)


def model(**more) -> dict:
    source = {"hub": REPOSITORY, "revision": COMMIT, "files": list(WANTED), **more}
    return {"name": "net", "title": "Net", "license": "MIT", "gated": None, "source": source}


def fetched(entry: dict) -> dict:
    return fetch(entry, downloads_of_model(entry))


# From the hub


def test_a_model_is_fetched_once_in_the_parts_that_are_wanted_and_found_by_its_jobs(hub, place):
    record = fetched(model())
    files = {
        "config.json": {"bytes": len(OTHERS)},
        "unet/model.safetensors": {"bytes": len(WEIGHTS), "sha256": sha256(WEIGHTS)},
    }
    assert record == {
        "name": "net",
        "title": "Net",
        "license": "MIT",
        "gated": None,
        "sources": [{"hub": REPOSITORY, "revision": COMMIT, "commit": COMMIT, "files": files}],
        "bytes": len(OTHERS) + len(WEIGHTS),
    }
    assert sorted(hub.downloads()) == ["config.json", "model.safetensors"]
    assert (models.resolve_folder(model()) / "unet/model.safetensors").read_bytes() == WEIGHTS
    hub.asked.clear()
    assert fetched(model()) == record and not hub.asked, "what is there is used, and nothing reaches out"


def test_a_branch_is_recorded_as_the_commit_that_it_was(hub):
    assert fetched(model(revision="main"))["sources"][0]["commit"] == COMMIT


def test_offline_what_is_there_is_used_and_what_is_not_is_named_with_its_terms(hub, monkeypatch):
    record = fetched(model())
    reach(hub.url, monkeypatch, offline=True)
    hub.asked.clear()
    assert fetched(model()) == record
    absent = model(hub="owner/gated") | {"gated": "https://gate.example"}
    with pytest.raises(UserError, match="owner/gated. Accept the terms at https://gate.example, .*HF_HUB_OFFLINE=0"):
        fetched(absent)
    assert not hub.asked


def test_without_a_network_the_address_is_named_once(place, monkeypatch):
    reach("http://127.0.0.1:9", monkeypatch)
    message = "http://127.0.0.1:9 cannot be reached from here .*run the same command again"
    with pytest.raises(UserError, match=message):
        fetched(model(revision="main"))
    with pytest.raises(UserError, match=message) as caught:
        check_downloads([*downloads_of_model(model()), *downloads_of_model(model(hub="owner/gated"))], [place])
    assert str(caught.value).count("127.0.0.1:9") == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"revision": "f" * 40}, "owner/name has no revision f{40}; correct it in the registry"),
        ({"hub": "owner/other"}, "owner/other is not on the hub, or hidden from you"),
        ({"hub": "owner/gated"}, "owner/gated: accept its terms at https://.*/owner/gated, then `hf auth login`"),
        ({"files": ["config.json", "vae/*"]}, "owner/name at revision .* has no files such as .*vae/"),
    ],
    ids=["revision", "repository", "terms", "files"],
)
def test_what_the_hub_refuses_is_explained_by_the_check_and_by_the_download(place, source, message):
    entry = model(**source)
    with pytest.raises(UserError, match=message):
        check_downloads(downloads_of_model(entry), [place])
    with pytest.raises(UserError, match=message):
        fetched(entry)


def test_accepted_terms_open_a_gated_repository(hub, monkeypatch, place):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    check_downloads(downloads_of_model(model(hub="owner/gated")), [place])
    assert fetched(model(hub="owner/gated"))["bytes"]


def test_everything_in_the_way_is_one_error(hub, place, tmp_path):
    data = {"name": "d", "hub": "owner/gated", "revision": "main", "files": ["a.tgz"], "gated": "https://data.example"}
    downloads = [
        *downloads_of_model(model(hub="owner/gated") | {"gated": "https://model.example"}),
        *downloads_of_model(model(revision="f" * 40)),
        *downloads_of_model(model()),
        *downloads_of_data(data, tmp_path),
        UrlFile(f"{hub.url}/gone.pt", tmp_path / "gone.pt"),
    ]
    with pytest.raises(UserError) as caught:
        check_downloads(downloads, [place], ["and this"])
    first, *problems = str(caught.value).splitlines()
    assert first.startswith("nothing was started") and len(problems) == 5
    for expected in ("and this", "https://model.example", "https://data.example", "no revision", "gone.pt answers 404"):
        assert expected in str(caught.value)
    assert not hub.downloads(), "the check downloads nothing"


def test_the_check_asks_nothing_about_what_is_there(hub, place):
    fetched(model())
    hub.asked.clear()
    check_downloads(downloads_of_model(model()), [place])
    assert not hub.asked


def test_the_check_compares_what_is_missing_with_the_room(place, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and Room(100_000))
    with pytest.raises(UserError, match="0.0 GB are to be fetched, .* has room for 0.0 GB; make room"):
        check_downloads(downloads_of_model(model()), [place / "not/yet/there"])


class Room:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_broken_connection_is_taken_up_again(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    hub.breaks["unet/model.safetensors"] = 100_000
    assert fetched(model())["bytes"] == len(OTHERS) + len(WEIGHTS)
    assert ("GET", FILE, "bytes=100000-") in hub.asked


FILE = f"/{REPOSITORY}/resolve/{COMMIT}/unet/model.safetensors"


def test_a_killed_download_counts_as_absent_and_goes_on_with_the_files_that_it_lacks(hub, place):
    hub.stalls["unet/model.safetensors"] = 100_000
    code = f"from workflow_scripts.lib.hub import HubFiles; HubFiles({REPOSITORY!r}, {COMMIT!r}, {WANTED!r}).fetch()"
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": f"{place}/cache", "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: not hub.stalls and any(place.rglob("snapshots/*/config.json")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not downloads_of_model(model())[0].present()
    hub.asked.clear()
    assert fetched(model())["bytes"] == len(OTHERS) + len(WEIGHTS)
    assert hub.downloads() == ["model.safetensors"]


def wait_for(condition) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it does not come to that")


@pytest.mark.parametrize(
    "change", [lambda old: old[:-1], lambda old: bytes([old[0] ^ 1]) + old[1:]], ids=["size", "bit"]
)
@pytest.mark.parametrize("name", ["config.json", "unet/model.safetensors"])
def test_a_changed_file_in_the_cache_is_named(name, change):
    fetched(model())
    path = (models.resolve_folder(model()) / name).resolve()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=f"{path} is not what owner/name has as {name}; delete it"):
        fetched(model())
    path.unlink()
    assert fetched(model())["bytes"] == len(OTHERS) + len(WEIGHTS)


def test_weights_in_several_files_are_there_when_all_of_their_index_are(place):
    """Also in a cache that another program has filled, where nothing else says how many there are."""
    snapshot = place / f"cache/models--owner--name/snapshots/{COMMIT}"
    snapshot.mkdir(parents=True)
    (snapshot / "m.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "m-1.st", "b": "m-2.st"}}))
    (snapshot / "m-1.st").touch()
    files = HubFiles(REPOSITORY, COMMIT, ("m*",))
    assert not files.present()
    (snapshot / "m-2.st").touch()
    assert files.present()


def test_a_full_disk_says_where(tiny_disk, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tiny_disk / "cache"))
    with pytest.raises(UserError, match=f"quota is full: {tiny_disk}/cache has "):
        fetched(model())


# What the record of the first download keeps to


NEWER = "f" * 40


def recorded(kind: str, entry: dict, record: dict) -> dict:
    """Write a record where the rules do."""
    write_json(models.RECORDS / kind / f"{entry['name']}.json", record)
    return record


def test_a_branch_stays_the_commit_of_the_first_download(hub, place):
    entry = model(revision="main")
    first = recorded("models", entry, fetched(entry))
    hub.repositories["model", REPOSITORY].move(NEWER, {**FILES, "config.json": b"{}"})
    assert fetched(entry) == first
    (place / "cache/models--owner--name/refs/main").write_text(NEWER)  # another program has fetched the newer one
    assert models.resolve_folder(entry).name == COMMIT, "jobs read the commit of the record, too"
    shutil.rmtree(place / "cache")
    assert fetched(entry) == first, "and so does a download after the cache was emptied"
    assert fetched(model(revision=NEWER))["sources"][0]["commit"] == NEWER, "another one is a matter of the registry"
    assert fetched(entry | {"name": "other"})["sources"][0]["commit"] == NEWER, "a first download takes what is there"
    shutil.rmtree(place / "cache")
    hub.repositories["model", REPOSITORY].before.clear()
    with pytest.raises(UserError, match=f"no revision {COMMIT}, which main was at the first download; correct it"):
        fetched(entry)


def test_a_branch_of_a_data_set_stays_the_commit_of_the_first_download(hub, tmp_path):
    first = recorded("data", DATA, fetch(DATA, downloads_of_data(DATA, tmp_path)))
    hub.repositories["dataset", REPOSITORY].move(NEWER, {"a.tgz": b"newer", "list.json": b"newer"})
    shutil.rmtree(tmp_path / "owner")
    assert fetch(DATA, downloads_of_data(DATA, tmp_path)) == first
    assert (tmp_path / REPOSITORY / "a.tgz").read_bytes() == WEIGHTS


def test_a_file_without_a_registered_checksum_stays_that_of_the_first_download(hub, place):
    hub.plain["/net.pt"] = WEIGHTS
    entry = {"name": "net", "source": {"url": f"{hub.url}/net.pt"}}
    recorded("models", entry, fetched(entry))
    hub.plain["/net.pt"] = OTHERS
    assert fetched(entry)["bytes"] == len(WEIGHTS)
    models.resolve_weights(entry).unlink()
    with pytest.raises(UserError, match="the first is that of the first download; register the right one"):
        fetched(entry)
    assert fetched(entry | {"sha256": {"net.pt": sha256(OTHERS)}})["bytes"] == len(OTHERS)


def test_a_checksum_may_be_the_one_that_git_has(hub, place):
    hub.plain["/net.pt"] = OTHERS
    checksum = hashlib.sha1(b"blob %d\0" % len(OTHERS) + OTHERS).hexdigest()
    entry = {"name": "net", "source": {"url": f"{hub.url}/net.pt"}, "sha256": {"net.pt": checksum}}
    assert fetched(entry)["sources"][0]["files"]["net.pt"]["sha256"] == sha256(OTHERS)
    assert models.resolve_weights(entry).read_bytes() == OTHERS
    models.resolve_weights(entry).write_bytes(WEIGHTS)
    with pytest.raises(UserError, match=f"net.pt has git's checksum {checksum}, the file here has"):
        fetched(entry)


# Data sets


DATA = {"name": "d", "hub": REPOSITORY, "revision": "main", "files": ["a.tgz"], "images_of_prompts": "list.json"}


def test_a_data_set_is_fetched_into_its_folder_and_checked_there(hub, tmp_path):
    downloads = downloads_of_data(DATA, tmp_path)
    record = fetch(DATA, downloads)
    assert (tmp_path / REPOSITORY / "a.tgz").read_bytes() == WEIGHTS
    assert sorted(hub.downloads()) == ["a.tgz", "list.json"]
    assert record["sources"][0]["commit"] == COMMIT and record["bytes"] == len(OTHERS) + len(WEIGHTS)
    hub.asked.clear()
    assert fetch(DATA, downloads) == record and not hub.asked
    (tmp_path / REPOSITORY / "a.tgz").write_bytes(WEIGHTS[:-1])
    with pytest.raises(UserError, match="a.tgz is not what owner/name has as a.tgz"):
        fetch(DATA, downloads)


def test_files_that_were_brought_by_hand_are_used(hub, tmp_path):
    (tmp_path / REPOSITORY).mkdir(parents=True)
    for name in ("a.tgz", "list.json"):
        (tmp_path / REPOSITORY / name).write_bytes(b"mine")
    record = fetch(DATA, downloads_of_data(DATA, tmp_path))
    assert record["sources"][0]["commit"] is None and record["bytes"] == 8 and not hub.asked


# From a url


def test_a_file_of_a_url_is_fetched_checked_and_found_by_its_jobs(hub, place):
    hub.plain["/net.pt"] = WEIGHTS
    entry = {"name": "net", "source": {"url": f"{hub.url}/net.pt"}, "sha256": {"net.pt": sha256(WEIGHTS)}}
    with pytest.raises(UserError, match="get it with: HF_HUB_OFFLINE=0 snakemake --force results/downloads/models/net"):
        models.resolve_folder(entry)
    record = fetched(entry)
    about = {"bytes": len(WEIGHTS), "sha256": sha256(WEIGHTS)}
    assert record["sources"] == [{"url": f"{hub.url}/net.pt", "files": {"net.pt": about}}]
    assert models.resolve_weights(entry).read_bytes() == WEIGHTS
    hub.asked.clear()
    assert fetched(entry) == record and not hub.asked
    models.resolve_weights(entry).write_bytes(b"other")
    with pytest.raises(UserError, match="the file here has .*; delete .*net.pt"):
        fetched(entry)


def test_an_interrupted_file_goes_on_where_it_stopped(hub, place):
    hub.plain["/net.pt"], hub.breaks["/net.pt"] = WEIGHTS, 100_000
    file = UrlFile(f"{hub.url}/net.pt", place / "net.pt", sha256(WEIGHTS))
    with pytest.raises(UserError, match="broke off at 100000 of 300000 bytes; run the same command again"):
        file.fetch()
    assert not file.present()
    file.fetch()
    assert file.path.read_bytes() == WEIGHTS and hub.asked[-1] == ("GET", "/net.pt", "bytes=100000-")
    assert not list(place.glob(".*.part"))


def test_a_server_need_not_say_how_long_a_file_is(hub, place):
    hub.plain["/net.pt"] = WEIGHTS
    hub.unsized.add("/net.pt")
    file = UrlFile(f"{hub.url}/net.pt", place / "net.pt", sha256(WEIGHTS))
    assert file.missing_bytes() == 0
    file.fetch()
    assert file.path.read_bytes() == WEIGHTS


def test_a_part_that_is_whole_is_taken_and_one_that_is_too_long_is_not(hub, place):
    hub.plain["/net.pt"] = WEIGHTS
    file, part = UrlFile(f"{hub.url}/net.pt", place / "net.pt"), place / ".net.pt.part"
    part.write_bytes(WEIGHTS + b"more")
    with pytest.raises(UserError, match="is shorter than what is here of it"):
        file.fetch()
    part.write_bytes(WEIGHTS)
    file.fetch()
    assert file.path.read_bytes() == WEIGHTS


def test_another_file_than_the_registry_knows_is_refused_and_not_kept(hub, place):
    hub.plain["/net.pt"] = WEIGHTS
    file = UrlFile(f"{hub.url}/net.pt", place / "net.pt", "0" * 64)
    with pytest.raises(UserError, match=f"net.pt has sha256 0+, the file here has {sha256(WEIGHTS)}"):
        file.fetch()
    assert not file.present() and not list(place.glob(".*.part"))


def test_a_member_of_an_archive_is_taken_out(hub, place):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("notes/other.json", "2")
        written.writestr("notes/captions.json", "1")
    hub.plain["/all.zip"] = archive.getvalue()
    file = UrlFile(f"{hub.url}/all.zip", place / "coco/notes/captions.json", sha256(archive.getvalue()))
    for _ in range(2):
        file.fetch()
    assert file.path.read_text() == "1" and [path.name for path in file.path.parent.glob("*.*[!k]")] == [
        "captions.json"
    ]
    with pytest.raises(UserError, match="all.zip holds no lost.json"):
        UrlFile(f"{hub.url}/all.zip", place / "lost.json").fetch()


def test_a_url_on_a_full_disk_or_out_of_reach(hub, place, tiny_disk):
    hub.plain["/net.pt"] = WEIGHTS
    with pytest.raises(UserError, match=f"quota is full: {tiny_disk} has "):
        UrlFile(f"{hub.url}/net.pt", tiny_disk / "net.pt").fetch()
    with pytest.raises(UserError, match="127.0.0.1:9/net.pt cannot be reached"):
        UrlFile("http://127.0.0.1:9/net.pt", place / "net.pt").fetch()


# The registry


CONFIG = load_config(ROOT / "config")


def test_a_model_comes_with_its_base_and_its_parts_but_nothing_that_lies_here():
    assert list(with_parts(CONFIG, "videocrafter2")) == ["videocrafter2", "modelscope"]
    assert list(with_parts(CONFIG, "inappropriate")) == ["inappropriate", "q16", "clip_vit_l14_score", "nudenet"]
    repositories = [one.repository for one in downloads_of_model(CONFIG.model_entry("sdxl"))]
    assert repositories == ["stabilityai/stable-diffusion-xl-base-1.0", "madebyollin/sdxl-vae-fp16-fix"]
    tiny = [one for role in CONFIG.scale("tiny").models.values() for one in with_parts(CONFIG, role)]
    assert not any(downloads_of_model(CONFIG.model_entry(name)) for name in tiny)
    assert not any(downloads_of_data(CONFIG.data_entry(name), Path()) for name in CONFIG.scale("tiny").data.values())


@pytest.mark.parametrize("scale", ["pilot", "paper"])
def test_all_that_a_scale_reads_of_a_data_set_is_fetched(scale):
    for name in dict.fromkeys(CONFIG.scale(scale).data.values()):
        entry = CONFIG.data_entry(name)
        if "hub" in entry or "folder" in entry:
            [*downloads] = downloads_of_data(entry, Path("data"))
            places = [Path("data") / entry.get("folder", "") / file for file in files_of_data(entry)]
            assert "hub" in entry or {one.path for one in downloads} == set(places), name
        assert "size_gb" in entry or not downloads_of_data(entry, Path()), f"{name} says its size, or null"


def test_sizes_count_what_entries_share_once():
    entries = [CONFIG.model_entry(name) for name in ("qwen_image", "qwen_image_anime", "clip_vit_b32_score")]
    assert size_gb(entries) == pytest.approx(57.7 + 0.6)
    data = [CONFIG.data_entry(name) for name in ("journeydb_train", "journeydb_portraits", "coprov2_safe_sd15")]
    assert size_gb(data) == pytest.approx(16 + 1.45)
    assert size_gb([CONFIG.data_entry("journeydb_test"), CONFIG.model_entry("ocr")]) == 0, "not known, and none"
