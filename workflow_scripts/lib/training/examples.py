"""Training examples as latents and text embeddings, encoded once before the first step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..files import atomic_write


@dataclass
class Examples:
    """N prompts with the latents of a preferred and, for DPO, a rejected image.

    `best`, `worst` (N, C, h, w), scaled as the denoiser sees them; `prompt_index` (N,) points into the embeddings, each
    tensor of which holds the empty prompt in row 0: `prompt_embeds` (P + 1, L, D) and, for SDXL, `pooled_prompt_embeds`
    (P + 1, D) and `time_ids` (P + 1, 6), the same for every prompt. They keep the arithmetic of the text encoders.
    """

    best: Tensor
    worst: Tensor | None
    prompt_index: Tensor
    embeddings: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.best)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write everything to one safetensors file."""
        from safetensors.torch import save_file

        tensors = {"best": self.best, "worst": self.worst, "prompt_index": self.prompt_index, **self.embeddings}
        with atomic_write(path) as temporary:
            kept = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
            save_file(kept, temporary, metadata={"fingerprint": fingerprint})

    @classmethod
    def load(cls, path: Path) -> tuple[Examples, str]:
        """The examples of a file and their fingerprint."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                fingerprint = file.metadata()["fingerprint"]
        except (SafetensorError, FileNotFoundError) as error:
            raise UserError(
                f"{path} is missing or damaged ({error}); make it anew: rm -f '{path}' and run the same command"
            ) from error
        known = {name: tensors.pop(name, None) for name in ("best", "worst", "prompt_index")}
        return cls(**known, embeddings=tensors), fingerprint


def conditioning(examples: Examples, index: Tensor, dropped: Tensor, device: torch.device) -> dict[str, Tensor]:
    """Text embeddings of the examples `index` (B,), float32, the empty prompt where `dropped` (B,) is true."""
    rows = examples.prompt_index[index].masked_fill(dropped, 0)
    return {name: tensor[rows].to(device).float() for name, tensor in examples.embeddings.items()}
