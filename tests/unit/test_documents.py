"""What the documentation says to write, type or call works as it is written."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.documents import NAMED, REPOSITORY, blocks_of, follow, snippets_of
from workflow_scripts.lib.downloads import size_gb, with_parts
from workflow_scripts.lib.provenance import PACKAGE
from workflow_scripts.lib.spec import load_config

DOCUMENTS = ("extending", "user-study", "data")


def text_of(document: str) -> str:
    return (REPOSITORY / f"docs/{document}.md").read_text()


@pytest.fixture
def followed(tmp_path):
    """A function: the configuration after all snippets of a document, loaded after each section."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")

    def follow_all(document: str):
        for section in text_of(document).split("\n## "):
            for file, snippet in (found := snippets_of(section)):
                follow(tmp_path, file, snippet)
            if found:
                config = load_config(tmp_path / "config")
        return config

    return follow_all


# Snippets of configuration


def test_snippets_of_extending_are_accepted_and_take_effect(followed):
    config = followed("extending")
    assert {"my_model_dpo", "sd15_dpo_n100", "sd15_dpo_hps", "flow_grpo_hps"} <= set(config.runs("tiny"))
    assert config.reward("ganrm_n100", "pilot")["num_proxies"] == 100
    assert config.reward("ganrm_n100", "tiny")["num_proxies"] == 20
    grpo = config.run("flow_grpo_hps", "tiny")["grpo"]
    assert (grpo["generator_epochs"], grpo["group_size"], grpo["groups_per_epoch"]) == (10, 16, 8)
    for scale in ("tiny", "pilot"):
        assert "advgrpo_details" in config.runs(scale) and "my_critic" in config.discriminators(scale)
    assert {"mine", "my_proxies"} <= set(config.tables)


def test_snippets_of_user_studies_are_accepted_and_take_effect(followed):
    config = followed("user-study")
    assert [question.name for question in config.study("my_study").questions] == ["quality", "alignment"]


def test_snippets_of_data_are_accepted_and_take_effect(followed):
    config = followed("data")
    assert config.scale("pilot").data["proxies"] == "user_images"
    assert config.reward("ganrm", "pilot")["num_proxies"] == config.scale("pilot").images["proxies"] == 200
    own = {
        name for name in config.scale("pilot").prompts if config.scale("pilot").prompt_source(name) == "user_prompts"
    }
    families = {name.removesuffix("_video") for name in own}
    assert families == set(config.data_entry("user_prompts")["paths"]), "every set has a file"
    assert all(f"`{family}.txt`" in text_of("data") for family in families)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_can_be_pasted_one_after_another(document):
    files = [file for file, _ in snippets_of(text_of(document)) if not (REPOSITORY / file).exists()]
    assert len(files) == len(set(files)), "a new file is written by one snippet"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_snippet_says_where_it_belongs(document):
    for block in blocks_of(text_of(document)):
        if not NAMED.match(block):
            assert not isinstance(parsed(block), dict), f"a snippet without its file:\n{block}"


def parsed(block: str) -> object:
    try:
        return yaml.safe_load(block)
    except yaml.YAMLError:
        return None


def test_the_extending_page_shows_every_key_of_grpo():
    section = text_of("extending").partition("## A reward while training: GRPO")[2]
    missing = [
        key
        for key in load_config(REPOSITORY / "config").run("flow_grpo_ocr", "paper")["grpo"]
        if f"`{key}`" not in section
    ]
    assert not missing


# Downloads


def test_downloads_are_as_large_as_the_page_says():
    config = load_config(REPOSITORY / "config")
    models = config.scale("paper").models
    roles = {"everything": list(models), "all of Adv-GRPO": ADVGRPO, "Tab. 1 of GAN-RM": TAB1}
    for what, of in roles.items():
        names = {one for role in of for one in with_parts(config, models[role])}
        said = re.search(rf"(\d+) GB for {what}", text_of("data"))
        assert said, what
        assert round(size_gb(map(config.model_entry, names))) == int(said[1]), what


SCORERS = ["clipscore", "pickscore", "hps", "imagereward", "extractor"]
TAB1 = ["sd15", "sd15_diffusiondpo", "sdxl", "sdxl_diffusiondpo", "clip_tokens", *SCORERS]
SIMILARITIES = ["dino_similarity", "image_similarity"]
ADVGRPO = ["sd3", "reference_generator", "dino", "siglip", "geneval", "pickscore", "imagereward", *SIMILARITIES]


# Code


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder as the repository's after a tiny run: a policy and a head with random weights, and images of a user."""
    from diffusers import UNet2DConditionModel

    from workflow_scripts.lib.diffusion.pipelines import save_policy
    from workflow_scripts.lib.rewards.encoders import load_encoder
    from workflow_scripts.lib.rewards.reward_heads import RewardModel, RewardPredictionLayer, save_reward_model

    monkeypatch.chdir(REPOSITORY)
    unet = UNet2DConditionModel.from_pretrained("resources/zoo/sd15", subfolder="unet")
    width = 2 * load_encoder(load_config().model_entry("tiny_clip_tokens")).width
    monkeypatch.chdir(tmp_path)
    Path("config").symlink_to(REPOSITORY / "config")
    Path("resources/user_images").mkdir(parents=True)
    Path("resources/zoo").symlink_to(REPOSITORY / "resources/zoo")
    torch.manual_seed(0)
    with torch.no_grad():
        unet.conv_out.weight.add_(torch.randn_like(unet.conv_out.weight))
    save_policy(Path("results/tiny/policies/sd15_dpo.r3/policy.json"), "unet", unet)
    head = RewardModel([RewardPredictionLayer(width)], "naive", "bce", encoder="tiny_clip_tokens")
    Path("results/tiny/rewards/ganrm/sd15").mkdir(parents=True)
    save_reward_model("results/tiny/rewards/ganrm/sd15/head.safetensors", head)
    random = np.random.default_rng(0)
    for name in "abc":
        pixels = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"resources/user_images/{name}.png")
    return tmp_path


def run_code(section: str, beginning: str) -> dict:
    """Run the one code block of a section of extending.md that begins so; its names."""
    (block,) = [one for one in blocks_of(text_of("extending").partition(section)[2]) if one.startswith(beginning)]
    names: dict = {}
    exec(compile(block, "docs/extending.md", "exec"), names)
    return names


def test_a_trained_policy_is_used_as_the_page_says(results):
    names = run_code("## Use it in your own code", "import torch")
    image, pipeline = names["image"], names["pipeline"]
    assert Image.open("frog.png").size == image.size == (32, 32)
    base = type(pipeline).from_pretrained("resources/zoo/sd15", safety_checker=None).unet
    assert not torch.equal(pipeline.unet.conv_out.weight, base.conv_out.weight), "the policy's own weights"


def test_a_trained_head_is_used_as_the_page_says(results, capsys):
    names = run_code("## Use it in your own code", "from pathlib")
    logits = names["scores"]["logit"]
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.endswith(".png")]
    assert [float(logit) for logit, _ in printed] == [round(one, 2) for one in sorted(logits.tolist(), reverse=True)]
    best = names["paths"][int(logits.argmax())].name
    assert printed[0][1] == best and len(printed) == len(set(logits.tolist())) == 3


@pytest.mark.parametrize(
    "page", sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md")), ids=lambda p: p.name
)
def test_links_between_documents_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_what_the_architecture_page_calls_exists():
    """Every `name(` in its code; `module.name(` in that module."""
    defined: dict[str, set[str]] = {"torch": {"load"}}
    for file in PACKAGE.rglob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined.setdefault(file.stem, set()).update(names)
    anywhere = set().union(*defined.values())
    code = "\n".join(re.findall(r"^ {4}.*$|`[^`]+`", text_of("architecture"), re.MULTILINE))
    called = re.findall(r"(?:(\w+)\.)?(\w+)\(", code)
    assert len(called) > 50
    assert not [(module, name) for module, name in called if name not in defined.get(module, anywhere)]
