"""From scores and features to metrics files: formulas, aggregation and the command line of compute_metrics."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from workflow_scripts.compute_metrics import main as compute_metrics
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.files import sha256
from workflow_scripts.lib.metrics import clipscore, fid, preference
from workflow_scripts.lib.metrics.aggregate import Aggregator
from workflow_scripts.lib.metrics.bootstrap import resample_indices
from workflow_scripts.lib.metrics.inputs import ComparedFeatures
from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part

PROMPTS, SAMPLES, WIDTH, RESAMPLES = 24, 3, 6, 50


def test_formulas_by_hand():
    cosines = np.array([-0.2, 0.0, 0.28])
    assert clipscore.caption("a frog") == "A photo depicts a frog"
    assert clipscore.clip_score(cosines) == pytest.approx([0, 0, 0.7])
    assert preference.pick_score(np.array([0.2]), math.log(100)) == pytest.approx([20])
    assert preference.hps_score(cosines) is cosines
    assert preference.image_reward(np.array([0.1672, 1.2005])) == pytest.approx([0, 1], abs=1e-4)


def test_several_images_of_a_prompt_count_as_one_observation():
    keys, prompt_ids = ["a", "b", "c", "d"], [1, 1, 2, 2]
    scores = pd.Series([1.0, 3.0, 5.0, np.nan], index=["a", "b", "c", "d"])
    aggregator = Aggregator(keys, prompt_ids, num_resamples=100, seed=0)
    aggregator.add_mean("score", scores)
    assert aggregator.num_prompts == 2
    assert aggregator.metrics["score"]["value"] == 3.5, "the mean over prompts of 2 and 5"
    assert set(aggregator.columns()["score"]) == {2.0, 3.5, 5.0}


def test_tasks_of_unequal_sizes_count_alike():
    """GenEval's overall score; against pandas, and its bootstrap against a resample drawn by hand."""
    tasks = np.array(["one"] * 2 + ["two"] * 6 + ["three"] * 4)
    table = pd.DataFrame(
        {"key": [f"k{i}" for i in range(12)], "task": tasks, "right": np.arange(12) % 5 < 2}
    ).set_index("key")
    columns = [
        table["right"].where(table["task"] == task).astype(float).rename(task) for task in ("one", "two", "three")
    ]
    aggregator = Aggregator(table.index.tolist(), np.arange(12), num_resamples=200, seed=3)
    aggregator.add_mean("overall", *columns)
    found = aggregator.metrics["overall"]
    assert found["value"] == pytest.approx(table.groupby("task")["right"].mean().mean())
    assert found["value"] != pytest.approx(table["right"].mean())
    assert found["n"] == 12
    for drawn, value in zip(resample_indices(12, 200, 3)[:20], aggregator.columns()["overall"], strict=False):
        assert value == pytest.approx(table.iloc[drawn].groupby("task")["right"].mean().mean())
    with pytest.raises(UserError, match="'overall' is defined for none of the 12 prompts by 'four'"):
        aggregator.add_mean("overall", columns[0], (columns[0] * np.nan).rename("four"))


def test_a_metric_is_averaged_where_it_is_defined():
    scores = pd.Series({"a": 1.0, "b": np.nan, "c": 3.0})
    aggregator = Aggregator(["a", "b", "c"], [1, 2, 3], num_resamples=10, seed=0)
    aggregator.add_mean("ocr", scores)
    assert aggregator.metrics["ocr"]["value"] == 2 and aggregator.metrics["ocr"]["n"] == 2
    with pytest.raises(UserError, match="'none' is defined for none of the 3 prompts"):
        aggregator.add_mean("none", scores * np.nan)
    with pytest.raises(UserError, match="'ocr' is given twice"):
        aggregator.add_mean("ocr", scores)


def test_features_must_belong_to_the_selected_images():
    aggregator = Aggregator(["a", "b"], [1, 2], num_resamples=10, seed=0)
    with pytest.raises(UserError, match="lacks 1 of 2 selected images, first 'b'"):
        aggregator.add_frechet("fd", ComparedFeatures(["a"], np.zeros((1, 2)), np.zeros((3, 2))))
    with pytest.raises(UserError, match="3 feature vectors for 2 images"):
        aggregator.add_frechet("fd", ComparedFeatures(["a", "b"], np.zeros((3, 2)), np.zeros((3, 2))))


class World:
    """A collection of two parts on disk, with scores, features, rewards and reference features."""

    def __init__(self, folder: Path):
        self.folder, random = folder, np.random.default_rng(0)
        self.table = pd.DataFrame(
            [(key_of(p, k), p, k) for p in range(PROMPTS) for k in range(SAMPLES)], columns=["key", "prompt_id", "k"]
        )
        count = len(self.table)
        self.table["hps"], self.table["raw"], self.table["reward"] = random.random((3, count))
        self.features = random.standard_normal((count, WIDTH)).astype(np.float32)
        self.reference = random.standard_normal((40, WIDTH)).astype(np.float32) * 1.5
        halves = np.array_split(np.arange(count), 2)
        self.parts = [self._part(n, self.table.iloc[rows]) for n, rows in enumerate(halves)]
        self.scores = [self._parquet(f"scores{n}", ["hps", "raw"], rows) for n, rows in enumerate(halves)]
        self.rewards = self._parquet("rewards", ["reward"], np.arange(count))
        encoded = zip(halves, self.parts, strict=True)
        self.encoded = [self._features(f"f{n}", self.features[rows], part) for n, (rows, part) in enumerate(encoded)]
        self.references = self._features("reference", self.reference, self.parts[0])

    def _part(self, number: int, rows: pd.DataFrame) -> Path:
        with ShardWriter(self.folder, f"part{number}.0", "made-of") as writer:
            for row in rows.itertuples():
                image = np.full((4, 4, 3), row.Index, np.uint8)
                writer.add(ImageRecord(row.key, image, row.prompt_id, row.k, f"prompt {row.prompt_id}", 0))
            entry = writer.commit()
        path = self.folder / f"part{number}.json"
        write_part(path, [entry], "made-of")
        return path

    def _parquet(self, name: str, columns: list[str], rows: np.ndarray) -> Path:
        path = self.folder / f"{name}.parquet"
        self.table.iloc[rows][["key", "prompt_id", "k", *columns]].to_parquet(path)
        return path

    def _features(self, name: str, features: np.ndarray, part: Path) -> Path:
        path = self.folder / f"{name}.safetensors"
        save_file({"features": features}, path, metadata={"images": sha256(part), "encoder": "tiny"})
        return path

    def command(self, out: str = "out.json", **changes) -> list[str]:
        """The command line for all metrics of RM@3; `changes` replace or (None) remove options."""
        options = {
            "policy": ["sd15"],
            "selection": ["ganrm.best3"],
            "selection-file": [self.rewards],
            "images": self.parts,
            "scores": [f"{name}={path}" for name in ("hps", "imagereward:raw") for path in self.scores],
            "features": [f"fid={path}" for path in self.encoded],
            "reference-features": [f"fid={self.references}"],
            "kernel": ["kid=fid"],
            "resamples": [RESAMPLES],
            "minimum-images": [PROMPTS],
            "out": [self.folder / out],
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        given = {name: values for name, values in options.items() if values is not None}
        return [str(word) for name, values in given.items() for word in (f"--{name}", *values)]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_metrics_of_the_best_images(world):
    compute_metrics(world.command())
    made = json.loads((world.folder / "out.json").read_text())
    best = world.table.loc[world.table.groupby("prompt_id")["reward"].idxmax()]
    assert (made["policy"], made["selection"], made["n"]) == ("sd15", "ganrm.best3", PROMPTS)
    values = {name: metric["value"] for name, metric in made["metrics"].items()}
    chosen = world.features[best.index]
    assert values == pytest.approx(
        {
            "hps": best["hps"].mean(),
            "imagereward": best["raw"].mean(),
            "fid": fid.frechet_distance(fid.fit_gaussian(chosen), fid.fit_gaussian(world.reference)),
            "kid": fid.kernel_distance(chosen, world.reference, seed=0),
        }
    )
    everything = fid.kernel_bootstrap(chosen, world.reference, np.ones((1, PROMPTS)))[0]
    assert values["kid"] == pytest.approx(everything, rel=0.3), "100 subsets of the references estimate it"
    assert all(m["ci_low"] < m["value"] < m["ci_high"] and m["n"] == PROMPTS for m in made["metrics"].values())


def test_bootstrap_has_a_row_per_resample_of_the_prompts(world):
    compute_metrics(world.command())
    columns = pd.read_parquet(world.folder / "out.bootstrap.parquet")
    assert list(columns) == ["hps", "imagereward", "fid", "kid"] and len(columns) == RESAMPLES
    best = world.table.loc[world.table.groupby("prompt_id")["reward"].idxmax()]
    indices = resample_indices(PROMPTS, RESAMPLES, 0)
    np.testing.assert_allclose(columns["hps"], [best["hps"].to_numpy()[row].mean() for row in indices])
    made = json.loads((world.folder / "out.json").read_text())["metrics"]
    reference, chosen = fid.fit_gaussian(world.reference), world.features[best.index]
    raw = np.array([fid.frechet_distance(fid.fit_gaussian(chosen[row]), reference) for row in indices])
    assert raw.mean() > made["fid"]["value"], "duplicates raise the distance, hence the centring"
    np.testing.assert_allclose(columns["fid"], raw - raw.mean() + made["fid"]["value"], rtol=1e-6)


def test_first_samples_need_no_rewards_and_pair_with_the_best(world):
    compute_metrics(world.command("first.json", selection=["first"], selection_file=None))
    compute_metrics(world.command("scores.json", selection=["first"], selection_file=None, images=None, features=None,
                                  reference_features=None, kernel=None))  # fmt: skip
    first, scores = (json.loads((world.folder / name).read_text()) for name in ("first.json", "scores.json"))
    own = world.table[world.table["k"] == 0]
    assert first["metrics"]["hps"]["value"] == pytest.approx(own["hps"].mean())
    assert scores["metrics"]["hps"] == first["metrics"]["hps"] and set(scores["metrics"]) == {"hps", "imagereward"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minimum_images": [PROMPTS + 1]}, f"'fid': {PROMPTS} images are too few, at least {PROMPTS + 1} are needed"),
        ({"selection": ["ganrm.best4"]}, "K = 4"),
        ({"selection_file": None}, "needs --selection-file"),
        ({"images": None}, "--features needs --images"),
        ({"reference_features": None}, "must name the same metrics"),
        ({"kernel": ["kid=fd"]}, "'fd' has no --features; known: fid"),
    ],
)
def test_mistakes_are_explained(world, changes, message):
    with pytest.raises(UserError, match=message):
        compute_metrics(world.command(**changes))


def test_inputs_that_do_not_belong_together_are_refused(world):
    swapped = [f"fid={path}" for path in reversed(world.encoded)]
    with pytest.raises(UserError, match="was made of other images"):
        compute_metrics(world.command(features=swapped))
    with pytest.raises(UserError, match="2 feature files but 1 parts"):
        compute_metrics(world.command(images=world.parts[:1]))
    with pytest.raises(UserError, match="lacks 12 of 24 selected images, first '000012-"):
        compute_metrics(world.command(scores=[f"hps={world.scores[0]}"]))
    with pytest.raises(UserError, match="listed twice"):
        compute_metrics(world.command(scores=[f"hps={world.scores[0]}"] * 2))
    with pytest.raises(UserError, match="no column 'clip'; it has: key, prompt_id, k, hps, raw"):
        compute_metrics(world.command(scores=[f"clip={world.scores[0]}"]))


def test_infinite_scores_and_damaged_files_are_refused(world, tmp_path):
    table = pd.read_parquet(world.scores[0])
    table.loc[3, "hps"] = np.inf
    table.to_parquet(tmp_path / "infinite.parquet")
    with pytest.raises(UserError, match="'000001-00' is infinite"):
        compute_metrics(world.command(scores=[f"hps={tmp_path / 'infinite.parquet'}"]))
    (tmp_path / "cut.safetensors").write_bytes(world.encoded[0].read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot read features .*cut.*rm -f"):
        compute_metrics(world.command(features=[f"fid={tmp_path / 'cut.safetensors'}", f"fid={world.encoded[1]}"]))
    (tmp_path / "cut.parquet").write_bytes(world.scores[0].read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot read (.*cut.parquet) .*rm -f '\\1'"):
        compute_metrics(world.command(scores=[f"hps={tmp_path / 'cut.parquet'}"]))


def test_the_command_itself_explains_mistakes_and_needs_no_torch(world):
    spy = "import sys; from workflow_scripts.compute_metrics import *; main(); print('torch' in sys.modules)"
    made = subprocess.run([sys.executable, "-c", spy, *world.command("spy.json")], capture_output=True, text=True)
    assert made.stdout == "False\n", made.stderr
    wrong = [sys.executable, "-m", "workflow_scripts.compute_metrics", *world.command(selection=["best"])]
    refused = subprocess.run(wrong, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: selection 'best' is not one of: first, {reward}.best{K}")
