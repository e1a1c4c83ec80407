"""The same optimiser step of Diffusion-DPO by our classes and by a straightforward one, on one and the same network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from workflow_scripts.lib.seeds import seed_of
from workflow_scripts.lib.shards import ImageRecord, Part, ShardWriter, key_of, write_part
from workflow_scripts.lib.training.denoiser import Denoiser
from workflow_scripts.lib.training.encoding import encode_examples, pairs_of
from workflow_scripts.lib.training.loop import Training
from workflow_scripts.lib.training.noise import draw_step, noise_schedule
from workflow_scripts.lib.training.objectives import DPO, DenoisingErrors
from workflow_scripts.lib.training.settings import TrainingSettings
from workflow_scripts.lib.training.updates import Updates, accelerator_of

from .gpu import Run, finished
from .sd3_sizes import config
from .sd_sizes import pixels_of, random_pipeline
from .straightforward_dpo import StraightforwardDPO

SEED = 0
BETA = 100.0
"""Less than the recipe's 5,000, which would multiply bfloat16's rounding of an error by 2,500: losses are compared."""


class Steps:
    """A pipeline, pairs of pictures and the step on all pairs; the weights stay: the learning rate is 0.

    The reference differs from the policy, so that losses do. SDXL takes Adafactor, as its released launcher; AdamW's
    moments of both sides would not fit into one GPU.
    """

    def __init__(self, model: str, run: Run, folder: Path, pairs: int) -> None:
        self.model, self.run, self.pairs = model, run, pairs
        self.settings = settings_of(model, run, pairs)
        self.accelerator = accelerator_of(self.settings)
        self.pipeline = random_pipeline(model, run.size, run.device, run.dtype)
        self.part = make_pairs(folder, pairs, pixels_of(model, run.size))
        self.schedule = noise_schedule(self.pipeline.scheduler)
        chosen = pairs_of(self.part, None)
        self.examples = encode_examples(self.pipeline, self.part, chosen, "encoded", 8, SEED)
        self.prompts = list(chosen["prompt"])
        unet = self.pipeline.unet.float()
        self.denoiser = Denoiser(unet, self.settings, needs_reference=True)
        self._change_reference()
        self.denoiser.prepare(self.accelerator)
        self.draw = draw_step(0, pairs, pairs, self.examples.best.shape[1:], self.schedule, 0.2, SEED)

    def _change_reference(self) -> None:
        with torch.no_grad():
            for weight in self.denoiser._reference.parameters():
                weight.mul_(1.02)

    def ours(self) -> Callable[[], dict[str, float]]:
        """By `Training`, on examples that were encoded before."""
        errors = DenoisingErrors(self.denoiser, self.examples, self.schedule, self.accelerator.device)
        training = Training(
            self.denoiser,
            self.settings,
            1,
            lambda step: self.draw,
            partial(DPO(BETA).means, errors),
            self.accelerator,
            Path("unused"),
            "unused",
        )
        updates = Updates(self.denoiser, self.settings, 1)
        return finished(lambda: training._step(0, updates))

    def straightforward(self, batch_size: int, offload: bool) -> Callable[[], dict[str, float]]:
        """By `StraightforwardDPO`, in batches of so many pairs."""
        sides, noises = [], []
        for k in (0, 1):
            keys = [key_of(i, k) for i in range(self.pairs)]
            images = [torch.from_numpy(image) for _, image in self.part.images(keys)]
            sides.append(torch.stack(images).permute(0, 3, 1, 2))
            noises.append(torch.stack([self._noise_of_vae(key) for key in keys]))
        reference = copy.deepcopy(self.denoiser._reference) if offload else self.denoiser._reference
        step = StraightforwardDPO(
            *(self.pipeline, self.denoiser.network, reference, self.schedule, *sides, *noises),
            *(self.prompts, self._optimizer(), BETA, self.settings.max_grad_norm, batch_size, offload),
            None if self.settings.mixed_precision == "no" else torch.bfloat16,
        )
        return finished(lambda: step.step(self.draw))

    def _noise_of_vae(self, key: str) -> torch.Tensor:
        """What `encode_examples` draws for an image."""
        shape, generator = self.examples.best.shape[1:], torch.Generator().manual_seed(seed_of("vae", SEED, key))
        return torch.randn(shape, generator=generator)

    def _optimizer(self) -> torch.optim.Optimizer:
        weights, lr = list(self.denoiser.trained().values()), self.settings.learning_rate
        if self.settings.optimizer == "adafactor":
            from transformers import Adafactor

            return Adafactor(weights, lr=lr, scale_parameter=False, relative_step=False)
        return torch.optim.AdamW(weights, lr=lr)


def settings_of(model: str, run: Run, pairs: int, **changes) -> TrainingSettings:
    """The paper's for DPO of this model, on `pairs` a step, with a learning rate of 0."""
    recipe = config().run(f"{model}_dpo", "paper")["training"]
    known = {name: value for name, value in recipe.items() if name not in ("beta", "reference")}
    batch = min(known["batch_size"], pairs)
    same = {"learning_rate": 0.0, "batch_size": batch, "gradient_accumulation_steps": pairs // batch}
    if model == "sdxl":
        same["optimizer"] = "adafactor"
    if run.small:
        same["mixed_precision"] = "no"
    return replace(TrainingSettings(**known), **same | changes)


def make_pairs(folder: Path, count: int, side: int) -> Part:
    """Two noisy pictures of each of `count` prompts."""
    generator = torch.Generator().manual_seed(SEED)
    with ShardWriter(folder, "shard", "benchmark") as writer:
        for i in range(count):
            for k in (0, 1):
                image = torch.randint(256, (side, side, 3), generator=generator, dtype=torch.uint8).numpy()
                writer.add(ImageRecord(key_of(i, k), image, i, k, f"{i} frogs on blue", i))
        write_part(folder / "part0.json", [writer.commit()], "benchmark")
    return Part(folder / "part0.json")


def same_step(run: Run) -> Callable[[dict, dict], bool]:
    """Whether losses and errors agree to 1e-3, and gradients' norms as far as bfloat16 allows."""
    limits = {"loss": 1e-3, "best_error": 1e-3, "worst_error": 1e-3, "grad_norm": 1e-3 if run.small else 0.1}

    def same(ours: dict[str, float], theirs: dict[str, float]) -> bool:
        print(*(f"{name} {ours[name]:.6g} and {theirs[name]:.6g}" for name in limits), sep=", ", flush=True)
        return all(math.isclose(ours[name], theirs[name], rel_tol=limit) for name, limit in limits.items())

    return same
