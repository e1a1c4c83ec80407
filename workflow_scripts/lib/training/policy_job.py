"""What every training of a policy begins and ends with, whatever happens between."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..diffusion.pipelines import denoiser_name, denoiser_of, is_saved, load_pipeline, save_policy
from ..files import read_json
from ..provenance import fingerprint
from .denoiser import Denoiser
from .settings import OptimiserSettings
from .updates import from_first

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class PolicyJob:
    """A training of the registry entry `entry`, or of the policy file `start`, that writes the policy file `out`.

    `entries` are those of all pipelines, from which `entry` may take parts; `code` is the hash of the training's code.
    """

    entry: dict
    entries: dict[str, dict]
    start: Path | None
    seed: int
    out: Path
    code: str

    @property
    def states(self) -> Path:
        """The folder of the training's states, until it is done."""
        return self.out.parent / "state"

    def pipeline(self) -> DiffusionPipeline:
        """What training starts from, float32 on the CPU."""
        return load_pipeline(self.entry, self.entries, self.start, "cpu", torch.float32)

    def denoiser(
        self,
        pipeline: DiffusionPipeline,
        settings: OptimiserSettings,
        *,
        needs_reference: bool,
        from_base: bool = False,
    ) -> Denoiser:
        """The denoiser to train; its reference is what training starts from, or, `from_base`, the untouched model."""
        torch.manual_seed(self.seed)  # adapters start at random
        denoiser = Denoiser(denoiser_of(pipeline), settings, needs_reference)
        if from_base and self.start is not None:
            denoiser.use_reference(denoiser_of(load_pipeline(self.entry, self.entries, None, "cpu", torch.float32)))
        return denoiser

    def made_by(self, settings: OptimiserSettings, **parts) -> str:
        """The fingerprint of the training, `parts` being what else decides on its result."""
        return fingerprint(
            model=self.entry["name"],
            start=read_json(self.start) if self.start else None,
            seed=self.seed,
            code=self.code,
            training={**asdict(settings), "checkpoint_seconds": None},  # it changes no result
            **parts,
        )

    def is_done(self, made_by: str, accelerator) -> bool:
        """Whether the policy file stands there already: another process may have trained it."""
        return from_first(accelerator, lambda: is_saved(self.out, made_by))

    def save(self, pipeline: DiffusionPipeline, denoiser: Denoiser, made_by: str, **about) -> None:
        """Write the trained weights and, last, the policy file with `about`; the states are removed."""
        about |= {"model": self.entry["name"], "seed": self.seed, "fingerprint": made_by}
        save_policy(self.out, denoiser_name(type(pipeline)), denoiser.merged(), **about)
        shutil.rmtree(self.states, ignore_errors=True)
