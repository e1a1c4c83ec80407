"""GenEval's models: Mask2Former finds objects, CLIP names their colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ..errors import UserError
from ..pixels import Images, Preprocessing, to_numpy
from .encoders import from_pretrained
from .geneval import COLOUR_TEMPLATES, COLOURS, NAMES, TASKS, Instance, crop_of, is_correct, read_metadata

if TYPE_CHECKING:
    from .scorers import CosineScorer

SHORTEST_EDGE = 800  # pixels, as mmdet's configuration of the detector; transformers' own processor takes 384
MAXIMUM_INSTANCES = 100  # of an image, as mmdet's configuration of the detector


class GenEval:
    """Whether an image shows what its prompt asks for, by Mask2Former (Swin-S, COCO instances) and CLIP ViT-L/14.

    The official evaluation runs mmdet's checkpoint of the detector; this is transformers' class, whose outputs are
    turned into instances as mmdet does it, in float32 whatever `dtype`, as thresholds decide. `metadata` says what each
    prompt asks for.
    """

    def __init__(self, folder: Path, device: str, dtype: torch.dtype, metadata: Path, clip: CosineScorer) -> None:
        from transformers import Mask2FormerForUniversalSegmentation

        self.model = from_pretrained(Mask2FormerForUniversalSegmentation, folder, device, torch.float32)
        self.preprocess = replace(Preprocessing.from_folder(folder), size=SHORTEST_EDGE, mode="bilinear")
        self.clip, self.metadata = clip.clip, read_metadata(metadata)
        self._classifiers: dict[str, Tensor] = {}
        if self.model.config.num_labels != len(NAMES):
            raise UserError(f"{folder} knows {self.model.config.num_labels} classes, GenEval needs COCO's {len(NAMES)}")

    @torch.no_grad()
    def encode(self, images: Images, prompts: Sequence[str] | None = None) -> dict[str, Tensor]:
        """{"geneval", "geneval_{task}" for each task}, each (B,), of images uint8 (B, H, W, 3) under known prompts.

        1 or 0; NaN for a prompt of another task.
        """
        asked = self.asked(prompts or [""] * len(images))
        found = zip(to_numpy(images), self.instances(images), asked, strict=True)
        correct = [
            is_correct(instances, metadata, lambda objects, image=image: self.colours(image, objects))
            for image, instances, metadata in found
        ]
        verdicts, tags = torch.tensor(correct, dtype=torch.float32), [one["tag"] for one in asked]
        of_task = {task: torch.tensor([tag == task for tag in tags]) for task in TASKS}
        tasks = {f"geneval_{task}": verdicts.where(own, torch.nan) for task, own in of_task.items()}
        return {"geneval": verdicts, **tasks}

    def instances(self, images: Images) -> list[list[Instance]]:
        """What the detector finds in each image uint8 (B, H, W, 3)."""
        pixels = self.preprocess(images, self.model.device, self.model.dtype)
        output = self.model(pixels)
        size = tuple(images.shape[1:3])
        return [
            instances_of(scores.float(), masks.float(), tuple(pixels.shape[-2:]), size)
            for scores, masks in zip(output.class_queries_logits, output.masks_queries_logits, strict=True)
        ]

    def colours(self, image: np.ndarray, instances: Sequence[Instance]) -> list[str]:
        """The colour of each instance of one class in an image uint8 (H, W, 3): the nearest by CLIP."""
        embeddings = self.clip.image_embeddings([crop_of(image, instance) for instance in instances])
        nearest = (embeddings @ self._classifier(instances[0].name).T).argmax(dim=1)
        return [COLOURS[index] for index in nearest.tolist()]

    def _classifier(self, name: str) -> Tensor:
        """Unit embedding (10, p) of every colour of a class: the mean over the templates."""
        if name not in self._classifiers:
            texts = [text.format(colour=colour, name=name) for colour in COLOURS for text in COLOUR_TEMPLATES]
            embeddings = self.clip.text_embeddings(texts).unflatten(0, (len(COLOURS), -1))
            self._classifiers[name] = normalize(embeddings.mean(dim=1), dim=1)
        return self._classifiers[name]

    def asked(self, prompts: Sequence[str]) -> list[dict]:
        """What each prompt asks for. UserError for one that the metadata do not know."""
        if unknown := [prompt for prompt in prompts if prompt not in self.metadata]:
            raise UserError(
                f"GenEval's metadata do not know the prompt {unknown[0]!r}; score a prompt set of GenEval's prompts, "
                "or give the registry entry the metadata of these"
            )
        return [self.metadata[prompt] for prompt in prompts]


def instances_of(
    class_logits: Tensor, mask_logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
) -> list[Instance]:
    """Instances in an image of `size` (H, W) by a detector's queries: class logits (Q, C + 1), mask logits (Q, h, w).

    As mmdet: the 100 best (query, class) pairs; confidence is the class's probability times the mean probability of the
    mask within itself. Masks are enlarged to the network's input, then brought to the image's size.
    """
    probabilities = class_logits.softmax(dim=1)[:, :-1]
    best, index = probabilities.flatten().topk(min(MAXIMUM_INSTANCES, probabilities.numel()))
    logits = mask_logits[index // probabilities.shape[1]]
    for shape in (input_size, size):
        logits = interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)[0]
    masks = logits > 0
    inside = (logits.sigmoid() * masks).flatten(1).sum(dim=1) / (masks.flatten(1).sum(dim=1) + 1e-6)
    rows = zip((index % probabilities.shape[1]).tolist(), (best * inside).tolist(), masks.cpu().numpy(), strict=True)
    return [Instance(NAMES[label], score, box_of(mask), mask) for label, score, mask in rows if mask.any()]


def box_of(mask: np.ndarray) -> np.ndarray:
    """The box (left, top, right, bottom) of a mask (H, W) that is not empty; right and bottom are just outside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
