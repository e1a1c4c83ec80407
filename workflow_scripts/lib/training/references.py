"""Reference images of prompts, read when their prompts are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..shards import Collection, key_of


class References:
    """The images of a collection by prompt. UserError where one of `prompts` has none."""

    def __init__(self, collection: Collection, prompts: Sequence[str]) -> None:
        self.collection = collection
        self.keys: dict[str, list[str]] = {}
        for row in collection.index().itertuples():
            self.keys.setdefault(row.prompt, []).append(key_of(row.prompt_id, row.k))
        missing = [prompt for prompt in prompts if prompt not in self.keys]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(prompts)} prompts have no reference image, such as {missing[0]!r}; "
                "make references of the whole prompt set, or train on prompts that have some"
            )

    def of(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """All references (R, H, W, 3), uint8, of each of these prompts, each read once."""
        wanted = list(dict.fromkeys(prompts))
        keys = dict.fromkeys(key for prompt in wanted for key in self.keys[prompt])
        images = {row.key: torch.from_numpy(image) for row, image in self.collection.images(keys)}
        return {prompt: torch.stack([images[key] for key in self.keys[prompt]]) for prompt in wanted}
