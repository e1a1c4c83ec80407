"""The benchmarks of a GPU, whose code runs here on small models: both sides make the same, and nothing is claimed."""

import importlib
import sys

import numpy as np
import pytest
import torch

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import common, gpu
from tests.benchmarks.bench_h5_idle import covered
from tests.benchmarks.sd_sizes import SIZES, random_pipeline
from workflow_scripts.lib.cli import run
from workflow_scripts.lib.files import read_json

NAMES = [name for name in benchmarks.benchmarks() if name.startswith("h")]


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    from accelerate.state import AcceleratorState

    monkeypatch.setattr(common, "FOLDER", tmp_path)
    AcceleratorState._reset_state()  # it allows but one arithmetic in a process
    yield tmp_path
    AcceleratorState._reset_state()


def main_of(name):
    return importlib.import_module(f"tests.benchmarks.bench_{name}").main


def test_all_six_goals_have_a_benchmark():
    assert [name.partition("_")[0] for name in NAMES] == ["h1", "h2", "h3", "h4", "h5", "h6"]
    assert benchmarks.chosen(["h"]) == NAMES and not set(benchmarks.chosen(["c"])) & set(NAMES)
    assert benchmarks.chosen(["h4"]) == ["h4_grpo_epoch"]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_small_and_claims_nothing(results, name):
    main_of(name)(["--small"])
    found = read_json(results / f"{name}.json")
    assert found["comparisons"] == [] and "no ratio" in found["not_measured"] and found["goal"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")
@pytest.mark.parametrize("name", NAMES)
def test_without_a_gpu_it_says_so_and_stops_with_status_2(results, monkeypatch, capsys, name):
    monkeypatch.setattr(sys, "argv", ["bench"])
    with pytest.raises(SystemExit) as stopped:
        run(main_of(name))
    assert stopped.value.code == 2
    assert "needs a CUDA GPU with 78 GiB; there is none; nothing was measured" in capsys.readouterr().err
    assert not list(results.iterdir())


def test_a_difference_is_told(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.straightforward_dpo.F.logsigmoid", lambda x: 1.01 * x)
    with pytest.raises(AssertionError, match="different things"):
        main_of("h3_dpo_step")(["--small"])


def test_time_is_covered_by_the_union_of_intervals():
    assert covered(np.array([[5.0, 6], [0, 2], [1, 3], [1, 1.5], [10, 12]])) == 3 + 1 + 2


def test_matrix_products_have_as_many_operations_as_asked_for():
    run = gpu.Run("small", torch.device("cpu"), torch.float32, 1, False)
    flops = 3 * 2 * 64**3
    assert gpu.flops_of(gpu.matrix_products(flops, run)) == flops


@pytest.mark.parametrize(("model", "unet"), [("sd15", 859.5e6), ("sdxl", 2.567e9)])
def test_the_true_sizes_have_the_published_numbers_of_weights(model, unet):
    pipeline = random_pipeline(model, "true", torch.device("meta"), torch.float16)
    parts = {"unet": unet, "vae": 83.65e6, "text_encoder": 123.06e6}
    parts |= {"text_encoder_2": 694.7e6} if len(SIZES[model]["true"].texts) == 2 else {}
    counts = {name: sum(weight.numel() for weight in getattr(pipeline, name).parameters()) for name in parts}
    assert counts == pytest.approx(parts, rel=1e-3)
