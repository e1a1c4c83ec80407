"""VBench: its total by hand and against the published one, the command line with a stand-in for its package."""

import json
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from workflow_scripts.compute_metrics import main as compute_metrics
from workflow_scripts.evaluate_vbench import main as evaluate_vbench
from workflow_scripts.lib.data.videos import write_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import vbench
from workflow_scripts.lib.metrics.bootstrap import resample_indices
from workflow_scripts.lib.metrics.vbench_weights import FETCH
from workflow_scripts.lib.shards import ImageRecord, ShardWriter, key_of, write_part

STAND_IN = Path(__file__).parent / "vbench_stand_in"
# VBench's leaderboard (huggingface.co/spaces/Vchitect/VBench_Leaderboard), row VideoCrafter-2.0 sampled by the VBench
# team, in percent: total 80.44, Quality 82.20, Semantic 73.42
VIDEOCRAFTER2 = {
    "subject_consistency": 96.85,
    "background_consistency": 98.22,
    "temporal_flickering": 98.41,
    "motion_smoothness": 97.73,
    "dynamic_degree": 42.50,
    "aesthetic_quality": 63.13,
    "imaging_quality": 67.22,
    "object_class": 92.55,
    "multiple_objects": 40.66,
    "human_action": 95.00,
    "color": 92.92,
    "spatial_relationship": 35.86,
    "scene": 55.29,
    "appearance_style": 25.13,
    "temporal_style": 25.84,
    "overall_consistency": 28.23,
}


def test_the_published_total_of_videocrafter2():
    summary = vbench.summarise({name: value / 100 for name, value in VIDEOCRAFTER2.items()})
    assert [round(value, 2) for value in summary] == [82.20, 73.42, 80.44]


def test_sums_by_hand():
    ranges = vbench.QUALITY | vbench.SEMANTIC
    best, worst = ({name: one.high for name, one in ranges.items()}, {name: one.low for name, one in ranges.items()})
    assert vbench.summarise(best) == pytest.approx((100, 100, 100))
    assert vbench.summarise(worst) == pytest.approx((0, 0, 0))
    moving = vbench.summarise(worst | {"dynamic_degree": 1.0})
    assert moving == pytest.approx((100 * 0.5 / 6.5, 0, 80 * 0.5 / 6.5)), "dynamic degree counts half"
    seen = vbench.summarise(worst | {"scene": 0.4111})
    assert seen == pytest.approx((0, 50 / 9, 10 / 9)), "half of the scene's range"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": None}, "needs all 16 dimensions; missing: color"),
        ({"colour": 0.5}, "no dimension colour; known: sub"),
    ],
)
def test_a_missing_or_unknown_dimension_is_refused(change, message):
    scores = {name: value for name, value in (VIDEOCRAFTER2 | change).items() if value is not None}
    with pytest.raises(UserError, match=message):
        vbench.summarise(scores)


def clips_of(rng, prompts=12):
    """Scores of two clips for every prompt; the sixteen dimensions take turns, color is defined for some clips only."""
    rows = [
        (name, f"prompt {p}", k, rng.random())
        for i, name in enumerate(vbench.DIMENSIONS)
        for p in range(prompts)
        if p % 2 == i % 2
        for k in range(2)
    ]
    clips = pd.DataFrame(rows, columns=["dimension", "prompt", "clip", "score"])
    clips.loc[(clips["dimension"] == "color") & (clips["prompt"] == "prompt 3"), "score"] = np.nan
    return clips


def test_the_bootstrap_draws_whole_prompts_with_all_their_dimensions():
    clips = clips_of(np.random.default_rng(0))
    columns = vbench.total_bootstrap(clips, 5, seed=1)
    prompts, by_prompt = sorted(clips["prompt"].unique()), dict(list(clips.groupby("prompt")))
    for column, draw in zip(columns, resample_indices(len(prompts), 5, 1), strict=True):
        drawn = pd.concat([by_prompt[prompts[i]] for i in draw])
        assert column == pytest.approx(vbench.summarise(vbench.mean_scores(drawn)).total)
    assert len(set(columns.round(6))) == 5


def test_a_dimension_without_any_score_is_refused():
    clips = clips_of(np.random.default_rng(0))
    clips.loc[clips["dimension"] == "scene", "score"] = np.nan
    with pytest.raises(UserError, match="scene is defined for no clip"):
        vbench.mean_scores(clips)


def test_a_clip_is_written_with_its_frames_rate_and_colours(tmp_path):
    rows, columns = np.mgrid[:32, :48] * 5
    frames = np.stack([np.stack([rows, columns, np.full_like(rows, 20 * i)], -1) for i in range(6)]).astype(np.uint8)
    write_clip(tmp_path / "a frog-0.mp4", frames, 10)
    with av.open(str(tmp_path / "a frog-0.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        read = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 4, "4:2:0 and crf 10"


class Study:
    """VBench in small: two prompts for every two dimensions, two for flickering; clips of known brightness."""

    def __init__(self, folder: Path):
        self.folder, self.weights = folder, folder / "weights"
        others = [name for name in vbench.DIMENSIONS if name != vbench.FLICKERING]
        entries = [{"prompt_en": f"prompt {i}", "dimension": others[i % 5 :: 5]} for i in range(10)]
        entries += [{"prompt_en": f"still {i}", "dimension": [vbench.FLICKERING]} for i in range(2)]
        self.suite = folder / "VBench_full_info.json"
        self.suite.write_text(json.dumps(entries))
        self.entries, self.levels = entries, {}
        self.clips = self._part("clips", [one["prompt_en"] for one in entries[:10]], 2)
        self.flickering = self._part("flickering", [one["prompt_en"] for one in entries[10:]], 4)
        for name in FETCH:
            (self.weights / name).parent.mkdir(parents=True, exist_ok=True)
            (self.weights / name).touch()

    def _part(self, name: str, prompts: list[str], ks: int) -> Path:
        with ShardWriter(self.folder, f"{name}.0", "f00d") as writer:
            for i, prompt in enumerate(prompts):
                for k in range(ks):
                    level = self.levels[prompt, k] = 20 + 17 * len(self.levels) % 200
                    clip = np.full((3, 16, 16, 3), level, np.uint8)
                    writer.add(ImageRecord(key_of(i, k), clip, i, k, prompt, 0))
            entry = writer.commit()
        write_part(self.folder / f"{name}.json", [entry], "f00d", frames=3)
        return self.folder / f"{name}.json"

    def run(self, **changes) -> dict:
        options = {
            "clips": self.clips,
            "flickering": self.flickering,
            "full-info": self.suite,
            "weights": self.weights,
            "fps": 10,
            "device": "cpu",
            "clip-scores": self.folder / "vbench.parquet",
            "out": self.folder / "vbench.json",
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        evaluate_vbench([str(word) for name, value in options.items() for word in (f"--{name}", value)])
        return json.loads((self.folder / "vbench.json").read_text())

    def expected(self, dimension: str) -> float:
        """Mean level of the clips that the stand-in scores."""
        prompts = [one["prompt_en"] for one in self.entries if dimension in one["dimension"]]
        scored = [prompt for prompt in prompts if (dimension, prompt) != ("color", "prompt 4")]
        ks = (0, 2) if dimension == vbench.FLICKERING else (0, 1)
        return np.mean([self.levels[prompt, k] for prompt in scored for k in ks]) / 255

    def calls(self) -> list[str]:
        return (self.weights / "calls").read_text().split()


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    for name in ("VBENCH_CACHE_DIR", "TORCH_HOME", "HUGGINGFACE_HUB_CACHE"):  # the command sets them
        monkeypatch.setenv(name, "unset")
    monkeypatch.syspath_prepend(STAND_IN)
    yield Study(tmp_path)
    for name in [one for one in sys.modules if one.partition(".")[0] == "vbench"]:
        del sys.modules[name]


def test_every_dimension_is_scored_on_its_own_clips(study):
    made = study.run()
    assert made["dimensions"] == pytest.approx({name: study.expected(name) for name in vbench.DIMENSIONS}, abs=0.01)
    assert list(made["dimensions"]) == list(vbench.DIMENSIONS)
    summary = vbench.summarise(made["dimensions"])
    assert (made["quality"], made["semantic"], made["total"]) == pytest.approx(summary)
    clips = pd.read_parquet(study.folder / "vbench.parquet")
    assert vbench.mean_scores(clips) == pytest.approx(made["dimensions"])
    assert not list(study.folder.glob("vbench/clips.*")), "exported clips are removed"
    scored = clips[clips["dimension"] == "color"].groupby("prompt")["score"].count()
    assert scored.to_dict() == {"prompt 4": 0, "prompt 9": 2}, "a prompt without a score has a row all the same"


def test_an_interrupted_run_continues_at_the_next_dimension(study, monkeypatch):
    monkeypatch.setenv("VBENCH_STAND_IN_FAILS", "scene")
    with pytest.raises(RuntimeError, match="out of memory"):
        study.run()
    assert not list(study.folder.glob("vbench/clips.*")) and not (study.folder / "vbench.json").exists()
    done = study.calls()
    monkeypatch.delenv("VBENCH_STAND_IN_FAILS")
    resumed = study.run()
    again = study.calls()[len(done) :]
    assert done[-1] == again[0] == "scene" and len(done) + len(again) == 17
    (study.weights / "calls").unlink()
    assert study.run() == resumed and not (study.weights / "calls").exists(), "everything is there"
    with pytest.raises(AssertionError):  # the stand-in insists on 10 fps: other clips are not taken for the same
        study.run(fps=8)


def test_what_is_missing_is_named_with_its_cure(study, monkeypatch):
    with pytest.raises(UserError, match='nowhere.json is missing; it comes with VBench: see docs/data.md, "VBench"'):
        study.run(full_info=study.folder / "nowhere.json")
    study.suite.write_text(json.dumps(study.entries[:-2]))
    with pytest.raises(UserError, match="has no prompts of temporal_flickering"):
        study.run()
    study.suite.write_text(json.dumps(study.entries))
    monkeypatch.setitem(sys.modules, "vbench", None)
    with pytest.raises(UserError, match="needs an environment of its own: .*envs/vbench.yaml.*vbench_python"):
        study.run()
    (study.weights / "amt_model/amt-s.pth").unlink()
    with pytest.raises(UserError, match="lacks 1 of VBench's weights .* curl .*amt-s.pth"):
        study.run()


def test_clips_of_other_prompts_are_refused(study):
    study.suite.write_text(json.dumps([*study.entries, {"prompt_en": "a new one", "dimension": ["scene"]}]))
    with pytest.raises(UserError, match="of 10 prompts, VBench has 11; the first that differs: 'a new one'"):
        study.run()


def test_a_score_that_is_not_the_mean_of_its_clips_is_refused(study, monkeypatch):
    monkeypatch.setenv("VBENCH_STAND_IN_LIES", "human_action")
    with pytest.raises(UserError, match="human_action is .*, but its clips average to"):
        study.run()


def test_the_total_is_a_metric_with_an_interval_over_prompts(study):
    total, out = study.run()["total"], study.folder / "first.json"
    words = ["--policy", "videocrafter2", "--images", study.clips, "--resamples", 50, "--minimum-images", 2]
    words += ["--vbench", f"vbench={study.folder / 'vbench.parquet'}", "--out", out]
    compute_metrics([str(word) for word in [*words, "--selection", "first"]])
    metric = json.loads(out.read_text())["metrics"]["vbench"]
    assert metric["value"] == pytest.approx(total)
    assert metric["ci_low"] < metric["value"] < metric["ci_high"] and metric["n"] == 12
    assert len(pd.read_parquet(study.folder / "first.bootstrap.parquet")["vbench"]) == 50
    rewards = study.folder / "rewards.parquet"
    pd.DataFrame({"key": [key_of(0, 0)], "prompt_id": [0], "k": [0], "reward": [0.5]}).to_parquet(rewards)
    with pytest.raises(UserError, match=r"selection 'ganrm.best1' has no total"):
        compute_metrics([str(word) for word in [*words, "--selection", "ganrm.best1", "--selection-file", rewards]])
