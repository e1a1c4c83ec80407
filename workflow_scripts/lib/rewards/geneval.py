"""GenEval (Ghosh et al., arXiv 2310.11513): what its evaluation decides once objects are found; pure functions.

As `evaluation/evaluate_images.py` of github.com/djghosh13/geneval at af4902f (MIT).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError

THRESHOLD = 0.3
COUNTING_THRESHOLD = 0.9
MAXIMUM_OBJECTS = 16  # of a class
POSITION_MARGIN = 0.1
TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
COLOUR_TEMPLATES = (
    "a photo of a {colour} {name}",
    "a photo of a {colour}-colored {name}",
    "a photo of a {colour} object",
)

# GenEval's names of COCO's 80 classes, in COCO's order.
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed,
dining table, toilet, tv, laptop, computer mouse, tv remote, computer keyboard, cell phone, microwave, oven,
toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
"""
NAMES = tuple(name.strip() for name in _NAMES.split(","))


@dataclass(frozen=True)
class Instance:
    """An object that was found: its class, confidence, box (left, top, right, bottom) and mask (H, W) of booleans."""

    name: str
    score: float
    box: np.ndarray
    mask: np.ndarray


Colours = Callable[[Sequence[Instance]], list[str]]


def read_metadata(path: str | Path) -> dict[str, dict]:
    """What each prompt asks for, by prompt, of a jsonl as GenEval's evaluation_metadata.jsonl; else UserError."""
    try:
        lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        asked = {line["prompt"]: {"tag": line["tag"], **line} for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no metadata file of GenEval ({error}); delete it and fetch it again") from error
    if other := {one["tag"] for one in asked.values()}.difference(TASKS):
        raise UserError(f"{path}: GenEval has no task {', '.join(sorted(map(repr, other)))}; tasks: {', '.join(TASKS)}")
    return asked


def confident(instances: Sequence[Instance], tag: str) -> dict[str, list[Instance]]:
    """The instances that count by class, the surest first: above 0.9 in prompts of the task `counting`, else 0.3."""
    threshold = COUNTING_THRESHOLD if tag == "counting" else THRESHOLD
    kept: dict[str, list[Instance]] = {}
    for instance in sorted(instances, key=lambda one: -one.score):
        if instance.score > threshold and len(kept.get(instance.name, ())) < MAXIMUM_OBJECTS:
            kept.setdefault(instance.name, []).append(instance)
    return kept


def is_correct(instances: Sequence[Instance], metadata: Mapping, colours: Colours) -> bool:
    """Whether an image shows all that its prompt includes and nothing that it excludes (too many of a counted class).

    Colour and position are asked of the surest objects of a class, as many as the prompt wants. `colours` names the
    colour of each instance.
    """
    found = confident(instances, metadata["tag"])
    groups: list[list[Instance] | None] = []
    for wanted in metadata.get("include", ()):
        objects = found.get(wanted["class"], [])[: wanted["count"]]
        groups.append(objects if _matches(objects, wanted, groups, colours) else None)
    exceeded = any(len(found.get(one["class"], ())) >= one["count"] for one in metadata.get("exclude", ()))
    return None not in groups and not exceeded


def _matches(objects: list[Instance], wanted: Mapping, groups: list[list[Instance] | None], colours: Colours) -> bool:
    if len(objects) < wanted["count"]:
        return False
    if "color" in wanted and colours(objects).count(wanted["color"]) < wanted["count"]:
        return False
    if "position" not in wanted:
        return True
    relation, group = wanted["position"]
    targets = groups[group]
    return targets is not None and all(
        relation in relations(one.box, other.box) for one in objects for other in targets
    )


def relations(box: np.ndarray, other: np.ndarray) -> set[str]:
    """Where a box (left, top, right, bottom) lies of another: `left of`, `right of`, `above`, `below`, or none of them.

    By the offset of the centres, shortened along each axis by a tenth of both extents; an axis counts where it then has
    more than half of the whole distance.
    """
    corners = np.asarray([box, other], dtype=np.float64).reshape(2, 2, 2)
    centres, extents = corners.mean(axis=1), np.abs(corners[:, 1] - corners[:, 0])
    offset = centres[0] - centres[1]
    revised = np.maximum(np.abs(offset) - POSITION_MARGIN * extents.sum(axis=0), 0) * np.sign(offset)
    if np.all(np.abs(revised) < 1e-3):
        return set()
    right, down = revised / np.linalg.norm(offset)
    names = {"left of": right < -0.5, "right of": right > 0.5, "above": down < -0.5, "below": down > 0.5}
    return {name for name, holds in names.items() if holds}


def crop_of(image: np.ndarray, instance: Instance) -> np.ndarray:
    """The instance alone, uint8 (h, w, 3): its box of the image (H, W, 3), grey (#999) where its mask is not."""
    left, top, right, bottom = (int(side) for side in instance.box)
    alone = np.where(instance.mask[..., None], image, np.uint8(0x99))
    return np.ascontiguousarray(alone[top:bottom, left:right])
