"""plan_cost in a study in which some jobs are done: they cost nothing more, and their time counts for others."""

from __future__ import annotations

import json

import pytest

from tests.workflow.study import make_study

IMAGES_DONE, SECONDS, IMAGES_NEEDED = 5000, 500, 500  # 500 prompts ten times; negatives once


def test_what_is_done_is_not_counted_and_what_it_took_is_the_measure(tmp_path):
    study = make_study(tmp_path / "study", resources=False, reduced=False)
    results = study.root / "results"
    made = ["prompts/eval.parquet", "samples/sd15/eval/part0.json", "benchmarks/sample_images/sd15.eval.part0.jsonl"]
    fetched = ["models/sd15", "data/journeydb_prompts"]
    for name in [*(f"pilot/{one}" for one in made), *(f"downloads/{one}.json" for one in fetched)]:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(json.dumps({"s": SECONDS}))
    features, samples = "features/clip_tokens/samples/sd15/eval/part0.safetensors", "samples/sd15/negatives/part0.json"
    targets = [f"results/pilot/{name}" for name in (features, samples)]
    said = study.cli("plan_cost", *targets, "--scale", "pilot", "--json", "rows.json").stdout
    encoded, sampled, together = json.loads((study.root / "rows.json").read_text())
    assert [row["gpu_jobs"] for row in (encoded, sampled, together)] == [1, 1, 2]
    assert sampled["gpu_hours"] == pytest.approx(SECONDS / IMAGES_DONE * IMAGES_NEEDED / 3600)
    assert sampled["gpu_hours_measured"] == sampled["gpu_hours"] and encoded["gpu_hours_measured"] == 0
    assert sampled["download_gb"] == 0 and encoded["download_gb"] == 0.6
    assert said.startswith("target ") and "CLIP ViT-B/32 tokens" in said and "JourneyDB" not in said
