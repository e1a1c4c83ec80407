"""Code that comes with a model's files is never run, not even from a folder of this machine."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from workflow_scripts.lib.diffusion.pipelines import load_pipeline

pytest_plugins = ["tiny_encoders"]


@pytest.fixture
def code(tmp_path):
    """A module that leaves a trace wherever it is imported."""
    trace = tmp_path / "sprung"
    return f"open({str(trace)!r}, 'w')\nclass Own: pass\n", trace


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("name", "value", "place"), [("_class_name", ["own", "Own"], "."), ("unet", ["own", "Own"], "unet")]
)
def test_a_pipeline_with_a_class_of_its_own_is_refused(pipeline_entry, tmp_path, code, name, value, place):
    folder = shutil.copytree(pipeline_entry["source"]["path"], tmp_path / "model")
    (Path(folder) / place / "own.py").write_text(code[0])
    change(Path(folder) / "model_index.json", **{name: value})
    from diffusers import StableDiffusionPipeline

    with pytest.raises(ValueError, match="remote code"):
        load_pipeline(pipeline_entry | {"source": {"path": str(folder)}}, {}, None, "cpu", torch.float32)
    assert not code[1].exists()
    with pytest.raises(Exception):  # noqa: B017 - the class is no pipeline and no network, but its module is run
        StableDiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
    assert code[1].exists(), "the trap works"


def test_a_tokenizer_with_a_class_of_its_own_is_not_run(clip_folder, tmp_path, code):
    from transformers import AutoTokenizer

    from workflow_scripts.lib.rewards.clip import TransformersCLIP

    folder = shutil.copytree(clip_folder, tmp_path / "model")
    (folder / "own.py").write_text(code[0])
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", "own.Own"]}, tokenizer_class="Own")
    try:
        TransformersCLIP(folder, folder, "cpu", torch.float32)
    except ValueError as error:
        assert "trust_remote_code" in str(error) or "Own" in str(error)
    assert not code[1].exists()
    with pytest.raises(Exception):  # noqa: B017 - the class is no tokenizer, but its module is run
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert code[1].exists(), "the trap works"
