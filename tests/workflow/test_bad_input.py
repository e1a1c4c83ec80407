"""Bad input: one clear line that names the cure, an exit status, and nothing that was there before is touched."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.workflow.study import FIGURE, IMAGES, TABLE, TINY, Study, make_study

RUNS, MODELS, SETTINGS = "config/runs/ganrm.yaml", "config/models.yaml", "config/config.yaml"
RESULTS, USER_IMAGES = "results/tiny", "resources/user_images"
EVAL, FEATURES = f"{RESULTS}/samples/sd15/eval", f"{RESULTS}/features/extractor/samples/sd15/eval/part0.safetensors"
PROXIES = f"{RESULTS}/images/proxies.32x32/part0.json"

# By name: file, text, its replacement, and words of the message
MISTAKES = {
    "unknown model": (TINY, "extractor: tiny_extractor", "extractor: tiny_extracto", "Did you mean 'tiny_extractor'?"),
    "unknown run": (TABLE, "policy: sd15_sft", "policy: sd15_stf", "Did you mean 'sd15_sft'?"),
    "unknown metric": (FIGURE, "{name: pickscore,", "{name: pikscore,", "Did you mean 'pickscore'?"),
    "typo in a key": (RUNS, "rounds: {value: 3,", "round: {value: 3,", "Did you mean 'rounds'?"),
    "typo in a setting": (SETTINGS, "scale: tiny", "scale: tyni", "Did you mean 'tiny'?"),
    "K larger than the pool": (
        RUNS,
        "candidates: {value: 10,",
        "candidates: {value: 16,",
        "chooses from K = 16 candidates, but scale 'paper' has 10 samples per prompt",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def unedited(tmp_path_factory) -> Study:
    """A study as it is checked out, with one result."""
    study = make_study(tmp_path_factory.mktemp("unedited") / "study", resources=False, reduced=False)
    table = study.root / RESULTS / "tables/ganrm_tab1.csv"
    table.parent.mkdir(parents=True)
    table.write_text("table,row\n")
    return study


def refused(study: Study, verb: str, *words: Any) -> str:
    """The one line that a command line refuses with; no file of the study changes meanwhile."""
    before = study.states(".")
    done = study.cli(verb, *words, check=False)
    assert done.returncode == 2, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in done.stdout
    assert {path: state for path, state in study.states(".").items() if "__pycache__" not in path} == {
        path: state for path, state in before.items() if "__pycache__" not in path
    }
    return lines[0].removeprefix("error: ")


# ---- the configuration: refused before anything is planned


@pytest.mark.parametrize(("file", "old", "new", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_in_the_configuration_stops_everything(unedited, tmp_path, file, old, new, message):
    study = unedited.copy(tmp_path / "study")
    line, before = study.replace(file, old, new), study.states(RESULTS)
    done = study.snakemake("ganrm_tab1", check=False)
    assert done.returncode != 0
    assert "Building DAG" not in done.stdout
    said = [text for text in done.stdout.splitlines() if f"({file}:{line})" in text]
    assert any(message in text for text in said), done.stdout
    assert study.states(RESULTS) == before


@pytest.mark.parametrize(
    ("verb", "option", "words"),
    [
        ("import_images", "--dataset", ["--count", 3, "--shape", "32x32"]),
        ("make_prompts", "--source", ["--prompt-set", "eval", "--count", 3]),
        ("encode_images", "--encoder", ["--images", f"{EVAL}/part0.json"]),
    ],
)  # fmt: skip
def test_an_unknown_name_on_a_command_line(finished, verb, option, words):
    message = refused(finished, verb, option, "world_proxy", *words, "--out", "new/part0.json")
    assert re.search(
        r"unknown (model|data set) 'world_proxy'; known: .+\. Did you mean 'world_pro\w+'\?|known: .+", message
    )


# ---- images of one's own


@pytest.fixture
def with_images(study) -> Study:
    """A study whose proxies are twelve images of the user's, already imported."""
    study.edit(TINY, lambda scale: scale["data"].update(proxies="user_images"))
    folder = study.root / USER_IMAGES
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(IMAGES):
        Image.fromarray(random.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    import_images(study)
    return study


def import_images(study: Study, refuse: bool = False) -> str:
    words = ("--dataset", "user_images", "--count", IMAGES, "--shape", "32x32", "--out", PROXIES)
    return refused(study, "import_images", *words) if refuse else study.cli("import_images", *words).stdout


def _truncate(folder: Path) -> None:
    data = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(data[: len(data) // 2])


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


PROBLEMS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (shutil.rmtree, "the image folder resources/user_images does not exist; make it and put images in"),
    "empty": (_empty, f"resources/user_images is empty, {IMAGES} are asked for; add images or lower `images`"),
    "truncated": (_truncate, r"resources/user_images/07.png cannot be read as an image \(.+\); remove or replace it"),
    "too few": (
        lambda folder: (folder / "03.png").unlink(),
        f"resources/user_images holds {IMAGES - 1} images, {IMAGES} are asked for; add images or lower `images`",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), PROBLEMS.values(), ids=list(PROBLEMS))
def test_a_folder_of_proxies(with_images, spoil, message):
    spoil(with_images.root / USER_IMAGES)
    assert re.match(message, import_images(with_images, refuse=True))


def test_snakemake_shows_the_line_of_the_failed_job_and_makes_nothing_of_it(with_images):
    (with_images.root / PROXIES).unlink()
    _truncate(with_images.root / USER_IMAGES)
    done = with_images.snakemake(f"{RESULTS}/features/clip_tokens/images/proxies.32x32/part0.safetensors", check=False)
    assert done.returncode != 0
    assert "error: resources/user_images/07.png cannot be read as an image" in done.stdout
    assert not (with_images.root / RESULTS / "features").exists()
    assert not (with_images.root / PROXIES).exists()


# ---- damaged files


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[600] ^= 1  # in the first image: a header of 512 bytes comes before it
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_shorten, r"has [\d,]+ bytes instead of [\d,]+"),
        (_flip_a_byte, "is damaged at image 000001-00"),
        (Path.unlink, "is missing"),
    ],
    ids=["truncated", "a byte", "missing"],
)  # fmt: skip
def test_a_damaged_shard_is_named_and_its_cure_makes_only_it_anew(copied, damage, why):
    whole, tar = copied.checksums(EVAL), f"{EVAL}/part0-shard00001.tar"
    damage(copied.root / tar)
    words = ("--encoder", "tiny_extractor", "--images", f"{EVAL}/part0.json", "--out", FEATURES)
    message = refused(copied, "encode_images", *words)
    assert re.match(rf"{tar} {why}; delete it and run the same command again", message)

    before, cure = copied.states(EVAL), message.partition(": rm ")[2]
    subprocess.run(f"rm {cure}", shell=True, check=True, cwd=copied.root)
    copied.snakemake(f"{EVAL}/part0.json")
    after = copied.states(EVAL)
    assert copied.checksums(EVAL) == whole
    changed = {Path(path).name.split(".")[0] for path in after if after[path] != before.get(path)}
    assert changed == {"part0", "part0-shard00001"}


def test_a_weight_file_that_is_not_the_one_registered(copied):
    zoo, weights = copied.root / "resources/zoo", "resources/zoo/extractor/model.safetensors"
    source = zoo.resolve()
    zoo.unlink()
    shutil.copytree(source, zoo)
    with open(copied.root / weights, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    words = ("--encoder", "tiny_extractor", "--images", f"{EVAL}/part0.json", "--out", FEATURES)
    message = refused(copied, "encode_images", *words)
    assert message.startswith(f"checksum mismatch of {copied.root / weights}; ")
    assert "git checkout -- resources/zoo/extractor" in message


# ---- numbers that must not be


def test_a_loss_that_is_nan_keeps_the_policy_that_was_there(copied):
    from safetensors import safe_open
    from safetensors.torch import save_file

    examples, spoilt = (
        copied.root / name for name in (f"{RESULTS}/latents/images/sd15/preferences.safetensors", "nan.safetensors")
    )
    with safe_open(examples, "pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["best"][:] = float("nan")
    save_file(tensors, spoilt, metadata=about)
    words = ["--model", "tiny_sd15", "--examples", spoilt, "--learning-rate", "1e-5", "--beta", 500, "--max-steps", 2]
    message = refused(copied, "train_dpo", *words, "--out", f"{RESULTS}/policies/sd15_dpo.r1/policy.json")
    assert re.match("the loss is nan at step 1 of 2; nothing was written over. Lower learning_rate", message)


def test_more_candidates_than_there_are_samples(finished):
    message = refused(
        finished,
        "select_samples",
        *("--rewards", f"{RESULTS}/rewards/ganrm/sd15/train.parquet", "--prompts", f"{RESULTS}/prompts/train.parquet"),
        *("--candidates", 99, "--out", f"{RESULTS}/selections/ganrm/sd15/train.k3.parquet"),
    )
    assert re.match(r"K = 99 candidates asked for, but prompt \d+ has 3 in the pool; lower K or sample more", message)


# ---- a full disk


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_what_was_there(study, small_disk):
    words = ("--dataset", "world_proxies", "--shape", "32x32", "--out", small_disk / "part0.json")
    study.cli("import_images", *words, "--count", 3)
    before = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    message = refused(study, "import_images", *words, "--count", 200)
    assert re.match(
        rf"the disk or your quota is full: {small_disk} has [\d,]+ bytes free; what was there before is", message
    )
    assert "Make room and run the same command again" in message
    assert {path.name: path.read_bytes() for path in small_disk.iterdir()} == before
