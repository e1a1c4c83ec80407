"""OCR accuracy: targets of prompts, the formula, a real recogniser on drawn words."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.rewards.ocr import OCR, EnginePerThread, edit_distance, enlarged, ocr_accuracy, target_of
from workflow_scripts.lib.rewards.scorers import load_scorer
from workflow_scripts.lib.world.render import render, to_uint8
from workflow_scripts.lib.world.scenes import Scene

QUOTED = re.compile(r'"([^"]*)"')


class Reads:
    """A recogniser that reads one text after the other."""

    def __init__(self, *texts: str) -> None:
        self.texts = iter(texts)

    def read(self, image):
        return next(self.texts)


@pytest.mark.parametrize(
    ("prompt", "target"),
    [('a sign "Open Now" and "Closed"', "opennow"), ('"30 years Young" on a mug', "30yearsyoung")],
)
def test_the_target_is_the_first_quoted_text(prompt, target):
    assert target_of(prompt, QUOTED) == target


@pytest.mark.parametrize("prompt", ["the word SUN on green", 'half a "quote', 'an empty "" one', 'a blank " " one'])
def test_a_prompt_without_text_is_refused(prompt):
    with pytest.raises(UserError, match="finds no text to read in the prompt .*use a prompt set"):
        target_of(prompt, QUOTED)


@pytest.mark.parametrize(
    ("text", "target", "accuracy"),
    [
        ("open", "open", 1),
        ("We are OP EN today", "open", 1),  # contained, but for case and spaces
        ("opem", "open", 0.75),
        ("", "open", 0),
        ("entirely different", "open", 0),  # the distance is capped at the target's length
        ("pen", "open", 0.75),
        ("opeen", "open", 0.75),
    ],
)
def test_accuracy_by_hand(text, target, accuracy):
    assert ocr_accuracy(text, target) == pytest.approx(accuracy)


def recursive_distance(one: str, other: str) -> int:
    """Levenshtein's definition, without a table."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return recursive_distance(one[1:], other[1:])
    return 1 + min(recursive_distance(*pair) for pair in ((one[1:], other), (one, other[1:]), (one[1:], other[1:])))


def test_edit_distance_equals_its_definition():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abc"), size)) for size in rng.integers(0, 6, 60)]
    for one, other in zip(words[::2], words[1::2], strict=True):
        assert edit_distance(one, other) == recursive_distance(one, other)
    assert edit_distance("kitten", "sitting") == 3


def test_scores_belong_to_their_images():
    scorer = OCR(Reads("stop", "stap"), threads=1)
    prompts = ['a sign "STOP"', 'a sign "STOP"']
    assert scorer.encode(np.zeros((2, 8, 8, 3), np.uint8), prompts)["ocr"].tolist() == [1, 0.75]
    with pytest.raises(UserError, match="no text to read"):
        scorer.encode(np.zeros((1, 8, 8, 3), np.uint8))


def test_images_are_read_by_several_threads_and_scores_keep_their_order():
    """Every reader waits until three others read, too, so fewer threads would wait for ever."""

    class Together:
        def __init__(self):
            self.barrier = threading.Barrier(4)

        def read(self, image):
            self.barrier.wait(timeout=20)
            return "stop"[: image[0, 0, 0]]

    images = np.zeros((8, 8, 8, 3), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None, None] % 5
    scores = OCR(Together(), threads=4).encode(images, ['a sign "STOP"'] * 8)["ocr"]
    assert scores.tolist() == [0, 0.25, 0.5, 0.75, 1, 0, 0.25, 0.5]


def test_each_thread_has_an_engine_of_its_own():
    class Reader(EnginePerThread):
        def new_engine(self):
            return object()

    reader = Reader()
    with ThreadPoolExecutor(1) as other:
        engines = [reader.engine, reader.engine, other.submit(lambda: reader.engine).result()]
    assert engines[0] is engines[1] is not engines[2]


def test_small_images_are_enlarged_by_whole_factors():
    assert enlarged(np.zeros((32, 48, 3), np.uint8)).shape == (128, 192, 3)
    assert enlarged(np.zeros((100, 200, 3), np.uint8)).shape == (200, 400, 3)
    assert enlarged(np.zeros((512, 512, 3), np.uint8)).shape == (512, 512, 3)


def test_a_real_recogniser_scores_words_of_the_world_by_the_registry():
    from workflow_scripts.lib.spec import load_config

    scorer = load_scorer(load_config("config").model_entry("tiny_ocr"))
    scenes = [Scene("green", word="SUN"), Scene("white", word="TEA")]
    images = np.stack([to_uint8(render(scene)) for scene in (*scenes, Scene("green", ("frog",)))])
    prompts = [scene.caption() for scene in (*scenes, scenes[0])]
    assert scorer.encode(images, prompts)["ocr"].tolist() == [1, 1, 0]
    swapped = scorer.encode(images[:2], prompts[1::-1])["ocr"]
    assert swapped.max() < 0.5
    read = scorer.recogniser.read
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(read, images)) == [read(image) for image in images]
