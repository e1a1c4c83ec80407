"""GenEval's decisions by hand; its detector as Mask2Former of the true class with reduced random weights."""

import json
import math
import random

import numpy as np
import pytest
import torch
from tiny_encoders import pictures

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.geneval import (
    COLOURS,
    NAMES,
    Instance,
    confident,
    crop_of,
    is_correct,
    read_metadata,
    relations,
)
from workflow_scripts.lib.rewards.geneval_scorer import box_of, instances_of
from workflow_scripts.lib.rewards.scorers import load_scorer

pytest_plugins = ["tiny_encoders"]
TWO_OBJECTS = {"tag": "two_object", "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1}]}
THREE_CATS = {
    "tag": "counting",
    "include": [{"class": "cat", "count": 3}],
    "exclude": [{"class": "cat", "count": 4}],
}
DOG_LEFT = {
    "tag": "position",
    "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}],
}
RED_CAT = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red"}]}


def found(name: str, score: float = 0.95, box: tuple = (0, 0, 10, 10)) -> Instance:
    """An instance whose mask is not looked at."""
    return Instance(name, score, np.array(box, np.float32), np.ones((1, 1), bool))


def unasked(instances):
    raise AssertionError("no colour was to be looked at")


def test_objects_must_all_be_there():
    assert is_correct([found("cat"), found("dog", 0.31)], TWO_OBJECTS, unasked)
    assert not is_correct([found("cat"), found("cat")], TWO_OBJECTS, unasked)
    assert not is_correct([found("cat"), found("dog", 0.3)], TWO_OBJECTS, unasked)  # not above the threshold


def test_counting_is_exact_and_sees_sure_objects_only():
    assert is_correct([found("cat")] * 3, THREE_CATS, unasked)
    assert is_correct([*[found("cat")] * 3, found("cat", 0.9)], THREE_CATS, unasked)
    assert not is_correct([found("cat")] * 4, THREE_CATS, unasked)
    assert not is_correct([*[found("cat")] * 2, found("cat", 0.89)], THREE_CATS, unasked)


def test_colour_is_asked_of_the_surest_object():
    seen = []

    def colours(instances):
        seen.append([instance.score for instance in instances])
        return ["red" if instance.score > 0.8 else "blue" for instance in instances]

    assert is_correct([found("cat", 0.4), found("cat", 0.9)], RED_CAT, colours)
    assert not is_correct([found("cat", 0.4), found("cat", 0.5)], RED_CAT, colours)
    assert seen == [[0.9], [0.5]]


def test_position_is_relative_to_the_group_that_the_prompt_names():
    left, right = (0, 0, 10, 10), (20, 0, 30, 10)
    assert is_correct([found("cat", box=right), found("dog", box=left)], DOG_LEFT, unasked)
    assert not is_correct([found("cat", box=left), found("dog", box=right)], DOG_LEFT, unasked)
    assert not is_correct([found("dog", box=left)], DOG_LEFT, unasked)  # no target


@pytest.mark.parametrize(
    ("box", "names"),
    [
        ((20, 0, 30, 10), {"right of"}),
        ((0, -30, 10, -20), {"above"}),
        ((20, 20, 30, 30), {"right of", "below"}),  # shortened from 20 to 18 of 28.3 on each axis: 0.64
        ((2, 0, 12, 10), set()),  # within the margin of 0.1 · (10 + 10) = 2
        ((2.1, 0, 12.1, 10), set()),  # 0.1 of 2.1 is left
        ((5, 0, 15, 10), {"right of"}),  # 3 of 5
        ((3.9, 0, 13.9, 10), set()),  # 1.9 of 3.9
    ],
)
def test_relations_by_hand(box, names):
    assert relations(np.array(box), np.array((0, 0, 10, 10))) == names


def official_relations(box_a, box_b) -> set[str]:
    """The published definition, coordinate by coordinate in plain floats."""
    ax, ay, bx, by = *((box_a[i] + box_a[i + 2]) / 2 for i in (0, 1)), *((box_b[i] + box_b[i + 2]) / 2 for i in (0, 1))
    offsets = (ax - bx, ay - by)
    sizes = [abs(box_a[i + 2] - box_a[i]) + abs(box_b[i + 2] - box_b[i]) for i in (0, 1)]
    revised = [math.copysign(max(abs(o) - 0.1 * s, 0), o) for o, s in zip(offsets, sizes, strict=True)]
    if max(map(abs, revised)) < 1e-3:
        return set()
    dx, dy = (value / math.hypot(*offsets) for value in revised)
    tests = [("left of", dx < -0.5), ("right of", dx > 0.5), ("above", dy < -0.5), ("below", dy > 0.5)]
    return {name for name, holds in tests if holds}


def test_relations_equal_the_published_ones_on_random_boxes():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (300, 2, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 60, corners.shape)], axis=2)
    results = [relations(*pair) for pair in boxes]
    assert results == [official_relations(*pair) for pair in boxes.tolist()]
    assert {len(one) for one in results} == {0, 1, 2}


def holds_clause_by_clause(instances, metadata, colour_of) -> bool:
    """The published rules written out once more, for a single threshold and plain lists."""
    least = 0.9 if metadata["tag"] == "counting" else 0.3
    sure = sorted((one for one in instances if one.score > least), key=lambda one: one.score, reverse=True)
    of_class = {name: [one for one in sure if one.name == name][:16] for name in NAMES}
    groups: list = []
    for clause in metadata["include"]:
        chosen = of_class[clause["class"]][: clause["count"]]
        good = len(chosen) == clause["count"]
        good = good and all(colour_of(one) == clause.get("color", colour_of(one)) for one in chosen)
        if good and "position" in clause:
            relation, group = clause["position"]
            pairs = [(one.box, other.box) for one in chosen for other in groups[group] or ()]
            good = bool(pairs) and all(relation in official_relations(*pair) for pair in pairs)
        groups.append(chosen if good else None)
    return None not in groups and all(len(of_class[c["class"]]) < c["count"] for c in metadata.get("exclude", ()))


def random_case(draw: random.Random) -> tuple[list[Instance], dict]:
    """Some objects of three classes, and one to three clauses."""
    classes = ("cat", "dog", "bench")
    instances = []
    for _ in range(draw.randrange(9)):
        x, y, width, height = (draw.uniform(2, 50) for _ in range(4))
        box = (x, y, x + width, y + height)
        instances.append(found(draw.choice(classes), draw.choice([draw.random(), draw.uniform(0.85, 1)]), box))
    include = []
    for i in range(draw.randrange(1, 4)):
        include.append({"class": draw.choice(classes), "count": draw.randrange(1, 3)})
        if draw.random() < 0.3:
            include[i]["color"] = draw.choice(COLOURS[:2])
        if i and draw.random() < 0.5:
            include[i]["position"] = [draw.choice(["left of", "right of", "above", "below"]), draw.randrange(i)]
    exclude = [{"class": draw.choice(classes), "count": draw.randrange(1, 4)}] if draw.random() < 0.4 else []
    return instances, {"tag": draw.choice(["counting", "position"]), "include": include, "exclude": exclude}


def test_verdicts_equal_the_rules_clause_by_clause_on_random_images():
    draw = random.Random(0)
    cases = [random_case(draw) for _ in range(4000)]

    def colour(one):
        return COLOURS[int(one.box[0]) % 2]

    verdicts = [is_correct(*case, lambda objects: [colour(one) for one in objects]) for case in cases]
    assert verdicts == [holds_clause_by_clause(*case, colour) for case in cases]
    assert 200 < sum(verdicts) < 2000


def test_at_most_sixteen_objects_of_a_class_the_surest_first():
    instances = [found("cat", 0.5 + i / 100) for i in range(20)]
    kept = confident(instances, "two_object")["cat"]
    assert [round(one.score, 2) for one in kept] == [round(0.69 - i / 100, 2) for i in range(16)]


def test_crops_show_the_object_on_grey():
    image = np.full((6, 8, 3), 7, np.uint8)
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    mask[1, 2] = False
    crop = crop_of(image, Instance("cat", 1.0, box_of(mask), mask))
    assert crop.shape == (2, 3, 3)
    assert crop[0, 0].tolist() == [153] * 3
    assert (crop.reshape(-1, 3)[1:] == 7).all()


def test_instances_of_queries_by_hand():
    logits = torch.full((2, 81), -20.0)
    logits[0, 15], logits[0, 16] = 2.0, 1.0  # a cat, less surely a dog
    logits[1, 80] = 5.0  # nothing
    masks = torch.full((2, 4, 4), -3.0)
    masks[0, :2, 1:3] = 3.0
    instances = instances_of(logits, masks, (4, 4), (4, 4))
    best = sorted(instances, key=lambda one: -one.score)[:2]
    share = math.exp(2) / (math.exp(2) + math.exp(1))
    inside = 1 / (1 + math.exp(-3))
    assert [one.name for one in best] == ["cat", "dog"]
    assert [one.score for one in best] == pytest.approx([share * inside, (1 - share) * inside], rel=1e-4)
    assert best[0].box.tolist() == [1, 0, 3, 2]
    assert best[0].mask.sum() == 4


def test_masks_are_brought_to_the_size_of_the_image():
    masks = torch.full((1, 2, 2), -1.0)
    masks[0, :, 1] = 1.0
    instance = instances_of(torch.zeros(1, 81), masks, (8, 8), (16, 32))[0]
    assert instance.mask.shape == (16, 32)
    assert instance.box.tolist() == [16, 0, 32, 16]


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory):
    """A Mask2Former on Swin with its image processor's configuration, small and random."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    folder = tmp_path_factory.mktemp("mask2former")
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        num_labels=80,
    )
    torch.manual_seed(0)
    model = Mask2FormerForUniversalSegmentation(config).eval()
    with torch.no_grad():
        model.class_predictor.weight.mul_(30)
    model.save_pretrained(folder)
    processor = {
        "do_resize": True,
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "size": {"shortest_edge": 64, "longest_edge": 96},
        "size_divisor": 32,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture
def entry(detector_folder, clip_folder, tmp_path):
    """A registry entry of GenEval on small models, with metadata of one prompt."""
    line = {"tag": "colors", "include": [{"class": "cat", "count": 1, "color": "red"}], "prompt": "a red cat"}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    return {
        "class": "GenEval",
        "source": {"path": str(detector_folder)},
        "metadata": {"source": {"path": str(tmp_path), "files": ["metadata.jsonl"]}},
        "parts": {"clip": {"class": "CLIPScore", "source": {"path": str(clip_folder)}}},
    }


def test_the_true_classes_find_and_name_objects(entry):
    scorer, images = load_scorer(entry), pictures(3)
    found = scorer.instances(images)
    assert [len(instances) > 0 for instances in found] == [True] * 3
    assert all(one.mask.shape == (40, 40) and 0 <= one.score <= 1 for one in found[0])
    assert {one.name for instances in found for one in instances} <= set(NAMES)
    assert found[0][0].score == pytest.approx(scorer.instances(images[:1])[0][0].score, abs=1e-4)
    best = max(found[0], key=lambda one: one.score)
    assert best.score > 0.3
    colour = scorer.colours(images[0], [best])[0]
    other = "red" if colour != "red" else "blue"
    wanted = {"class": best.name, "count": 1}
    scorer.metadata = {name: {"tag": "colors", "include": [wanted | {"color": name}]} for name in (colour, other)}
    scores = scorer.encode(images[[0, 0]], [colour, other])
    assert scores["geneval"].tolist() == scores["geneval_colors"].tolist() == [1, 0]
    assert scores["geneval_counting"].isnan().all()
    with pytest.raises(UserError, match="metadata do not know the prompt 'a blue dog'"):
        scorer.encode(images[:1], ["a blue dog"])


def test_the_detector_sees_images_of_the_published_size(entry):
    """Its folder asks for 64 pixels, as the hub's does for 384; mmdet resizes the shortest edge to 800."""
    assert load_scorer(entry).preprocess(pictures(1)).shape == (1, 3, 800, 800)


def test_the_colour_is_the_nearest_mean_of_the_templates(entry):
    scorer, image = load_scorer(entry), pictures(1)[0]
    instance = Instance("cat", 1.0, np.array([4, 4, 36, 36], np.float32), np.ones((40, 40), bool))
    texts = ["a photo of a red cat", "a photo of a red-colored cat", "a photo of a red object"]
    red = torch.nn.functional.normalize(scorer.clip.text_embeddings(texts).mean(0), dim=0)
    torch.testing.assert_close(scorer._classifier("cat")[0], red, rtol=1e-4, atol=1e-5)
    cosines = scorer.clip.image_embeddings(image[None, 4:36, 4:36]) @ scorer._classifier("cat").T
    assert scorer.colours(image, [instance]) == [COLOURS[cosines.argmax()]]


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text('{"text": 1}\n')
    with pytest.raises(UserError, match=r"other.jsonl is no metadata file of GenEval \('prompt'\); delete it"):
        read_metadata(tmp_path / "other.jsonl")
    (tmp_path / "other.jsonl").write_text('{"prompt": "a cat", "tag": "drawing"}\n')
    with pytest.raises(UserError, match=r"GenEval has no task 'drawing'; tasks: single_object, two_object"):
        read_metadata(tmp_path / "other.jsonl")
