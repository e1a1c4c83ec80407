"""Rewards while images are generated: they are the metrics of files, weighted; what is not finite is refused."""

import numpy as np
import pytest
import torch
from tiny_encoders import PROMPTS, pictures

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.pixels import to_uint8
from workflow_scripts.lib.rewards.online import OnlineScorer, WeightedSum, load_online, load_rewards
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.world.prompts import draw_scenes
from workflow_scripts.lib.world.render import render
from workflow_scripts.lib.world.scenes import Scene

pytest_plugins = ["tiny_encoders"]


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) as float (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


class Gives:
    """A scorer that gives the same numbers whatever the images."""

    def __init__(self, *values: float) -> None:
        self.values = torch.tensor(values)

    def encode(self, images, prompts=None):
        return {"first": self.values, "second": self.values + 1}


def test_levels_are_those_of_a_saved_picture():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert torch.equal(to_uint8(as_tensor(every)), torch.from_numpy(every))
    beyond = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
    assert to_uint8(beyond).tolist() == [[[[0, 128, 255]]]]


@pytest.mark.parametrize("name", ["PickScore", "CLIPScore"])
def test_online_reward_equals_the_score_of_files(clip_folder, name):
    entry = {"class": name, "source": {"path": str(clip_folder)}}
    images = pictures(3)
    online = load_online("one", entry).reward(torch.from_numpy(images), PROMPTS)
    offline = next(iter(load_scorer(entry).encode(images, PROMPTS).values()))
    torch.testing.assert_close(online, offline, rtol=0, atol=1e-6)
    assert online.std() > 1e-3 and not online.requires_grad


def test_rules_of_the_world_are_rewards():
    scenes = draw_scenes("eval", 2, 0)
    images = torch.from_numpy(np.stack([np.rint(render(scene) * 255).astype(np.uint8) for scene in scenes]))
    prompts = [scene.caption() for scene in scenes]
    entries = {"world": {"class": "World"}, "geneval": {"class": "WorldGenEval"}}
    rewards = load_rewards(entries, {"world": 0.5, "geneval": 0.5})
    parts = rewards.components(images, prompts)
    assert {name: values.tolist() for name, values in parts.items()} == {"world": [1, 1], "geneval": [1, 1]}
    swapped = rewards.combine(rewards.components(images.clone(), prompts[::-1]))
    assert swapped.tolist() == [0, 0]


def test_world_geneval_says_what_is_wrong():
    asked = Scene("blue", ("frog", "frog"))
    shown = [
        asked,
        Scene("blue", ("frog", "frog"), style="line art"),  # how it is drawn does not count
        Scene("red", ("frog", "frog")),
        Scene("blue", ("frog",) * 3),
        Scene("blue", ("cat", "cat")),
    ]
    images = np.stack([np.rint(render(scene) * 255).astype(np.uint8) for scene in shown])
    scores = load_scorer({"class": "WorldGenEval"}).encode(images, [asked.caption()] * 5)
    assert scores["geneval"].tolist() == [1, 1, 0, 0, 0]
    assert scores["geneval_colour"].tolist() == [1, 1, 0, 1, 1]
    assert scores["geneval_count"].tolist() == [1, 1, 1, 0, 1]
    assert scores["geneval_objects"].tolist() == [1, 1, 1, 1, 0]


def test_world_geneval_asks_for_place_and_order():
    places, order = Scene("blue", ("frog",), "top left"), Scene("blue", ("frog", "cat"))
    shown = [Scene("blue", ("frog",), "top right"), places, Scene("blue", ("cat", "frog")), order]
    images = np.stack([np.rint(render(scene) * 255).astype(np.uint8) for scene in shown])
    prompts = [places.caption()] * 2 + [order.caption()] * 2
    scores = load_scorer({"class": "WorldGenEval"}).encode(images, prompts)
    assert scores["geneval_position"].tolist() == [0, 1, 0, 1]
    assert scores["geneval_objects"].tolist() == [1, 1, 1, 1]
    anywhere = Scene("blue", ("frog",)).caption()
    assert load_scorer({"class": "WorldGenEval"}).encode(images[:2], [anywhere] * 2)["geneval"].tolist() == [1, 1]


def test_weighted_sum_is_equation_8():
    scorers = {"rule": OnlineScorer("rule", Gives(1.0, 0.0)), "similarity": OnlineScorer("like", Gives(0.2, 0.6))}
    reward = WeightedSum(scorers, {"rule": 0.7, "similarity": 0.3})
    parts = reward.components(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), ["a", "b"])
    assert list(parts) == ["rule", "similarity"]
    assert reward.combine(parts).tolist() == pytest.approx([0.7 * 1 + 0.3 * 0.2, 0.3 * 0.6])
    with pytest.raises(UserError, match="rewards rule, similarity and weights of other do not belong together"):
        WeightedSum(scorers, {"other": 1.0})


def test_the_first_metric_of_a_scorer_is_the_reward():
    scorer, images = OnlineScorer("some", Gives(1.0, 2.0)), torch.zeros(2, 4, 4, 3, dtype=torch.uint8)
    assert scorer.reward(images, ["a", "b"]).tolist() == [1, 2]
    assert list(scorer.metrics(images, ["a", "b"], None)) == ["first", "second"]


@pytest.mark.parametrize(
    ("entry", "prompt", "said"),
    [
        ({"class": "OCR", "parts": {"recogniser": {"class": "RapidOCRReader"}}}, "a frog", "no text to read"),
        ({"class": "World"}, "some photograph", "some photograph"),
        ({"class": "WorldGenEval"}, "some photograph", "some photograph"),
    ],
)
def test_prompts_that_cannot_be_scored_are_refused_before_any_image_is_there(entry, prompt, said):
    scorer = load_online("it", entry)
    scorer.check(['the word "SUN" on green'] if entry["class"] == "OCR" else ["a frog on blue"])
    with pytest.raises(UserError, match=said):
        scorer.check([prompt])


def test_a_similarity_as_a_reward_compares_with_the_references_of_each_prompt(clip_folder):
    clip = {"class": "CLIPScore", "source": {"path": str(clip_folder)}}
    like = load_online("like", {"class": "ImageSimilarity", "parts": {"clip": clip}})
    images = torch.from_numpy(pictures(2))
    same = like.reward(images, ["a", "b"], {"a": images[:1], "b": images[1:]})
    assert like.compares and same.tolist() == pytest.approx([1, 1], abs=1e-5)
    assert like.reward(images.clone(), ["b", "a"]).max() < 0.999
