"""OCR accuracy: is the text that a prompt asks for legible in the image? (Flow-GRPO, arXiv 2505.05470)"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..pixels import Images, to_numpy

MINIMUM_SIDE = 128  # pixels; text detectors see nothing in smaller pictures


class Recogniser(Protocol):
    """What reads text; several threads may ask it at once."""

    def read(self, image: np.ndarray) -> str:
        """All text of an image uint8 (H, W, 3), line after line without separators; empty where none is found."""


class EnginePerThread:
    """A recogniser whose engine is not made to be shared, so that each thread that reads has its own."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._own.engine = self.new_engine()  # what is missing is said before there are images

    def new_engine(self) -> Callable:
        """An engine that computes in one thread, so that results do not depend on the number of threads."""
        raise NotImplementedError

    @property
    def engine(self) -> Callable:
        """That of this thread."""
        if not hasattr(self._own, "engine"):
            self._own.engine = self.new_engine()
        return self._own.engine


class RapidOCRReader(EnginePerThread):
    """PP-OCR's detector and recogniser as rapidocr runs them; the package brings their weights."""

    def new_engine(self) -> Callable:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise UserError("the OCR score needs rapidocr; pip install rapidocr -c constraints.txt") from error
        threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
        size = {"Det.limit_type": "min", "Det.limit_side_len": MINIMUM_SIDE}  # else small pictures grow to 736 pixels
        return RapidOCR(params={"Global.log_level": "error", **threads, **size})

    def read(self, image: np.ndarray) -> str:
        """The text that both models find."""
        return "".join(self.engine(enlarged(image)[..., ::-1], use_cls=False).txts or ())


class PaddleOCRReader(EnginePerThread):
    """PaddleOCR 2.x for English without its angle classifier, as the paper's code; it fetches its own weights."""

    def new_engine(self) -> Callable:
        try:
            from paddleocr import PaddleOCR
        except ImportError as error:
            raise UserError(
                "this OCR score needs PaddleOCR; pip install paddlepaddle==2.6.2 paddleocr==2.9.1 in an environment of "
                "its own, or let the scale's role ocr be played by the entry ocr (rapidocr)"
            ) from error
        return PaddleOCR(use_angle_cls=False, lang="en", use_gpu=False, show_log=False, cpu_threads=1)

    def read(self, image: np.ndarray) -> str:
        """The text of every line whose confidence is above 0."""
        lines = self.engine.ocr(enlarged(image)[..., ::-1], cls=False)[0] or []
        return "".join(text for _, (text, confidence) in lines if confidence > 0)


class OCR:
    """OCR accuracy of images under prompts that state their text: `target` is the pattern whose group 1 it is.

    As many images are read at once as `threads` says; without it, as the job has threads (OMP_NUM_THREADS).
    """

    def __init__(self, recogniser: Recogniser, target: str = r'"([^"]*)"', threads: int | None = None) -> None:
        self.recogniser, self.pattern = recogniser, re.compile(target)
        self.threads = ThreadPoolExecutor(threads or torch.get_num_threads(), "ocr")

    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"ocr": (B,)} in [0, 1] of images uint8 (B, H, W, 3). UserError for a prompt that states no text."""
        targets = self.asked(prompts or [""] * len(images))
        texts = self.threads.map(self.recogniser.read, to_numpy(images))
        return {"ocr": torch.tensor([ocr_accuracy(*pair) for pair in zip(texts, targets, strict=True)])}

    def asked(self, prompts: Sequence[str]) -> list[str]:
        """The text that each prompt asks for. UserError for one that states none."""
        return [target_of(prompt, self.pattern) for prompt in prompts]


def target_of(prompt: str, pattern: re.Pattern[str]) -> str:
    """The text that a prompt asks for, without spaces and in lower case; UserError where it states none."""
    found = pattern.search(prompt)
    target = _comparable(found[1]) if found else ""
    if not target:
        raise UserError(
            f"the OCR score finds no text to read in the prompt {prompt!r} (looked for {pattern.pattern}); "
            'use a prompt set whose prompts state it, as in: a sign that says "OPEN"'
        )
    return target


def ocr_accuracy(text: str, target: str) -> float:
    """1 - d / len(target): d is 0 where the text contains the target, else their edit distance, at most len(target).

    `target` as `target_of` gives it; spaces and case of `text` do not count.
    """
    text = _comparable(text)
    distance = 0 if target in text else min(edit_distance(text, target), len(target))
    return 1 - distance / len(target)


def edit_distance(one: str, other: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and substitutions of a character."""
    previous = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        current = [i]
        for j, wanted in enumerate(other, start=1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (letter != wanted)))
        previous = current
    return previous[-1]


def enlarged(image: np.ndarray) -> np.ndarray:
    """A small image (H, W, 3) by a whole factor, so that its shorter side has MINIMUM_SIDE pixels at least."""
    factor = -(-MINIMUM_SIDE // min(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _comparable(text: str) -> str:
    return text.replace(" ", "").lower()
