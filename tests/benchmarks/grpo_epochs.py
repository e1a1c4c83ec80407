"""The same generator epoch of Adv-GRPO by our classes and by a straightforward loop, on one and the same networks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.lib.diffusion.rollout import group_samples
from workflow_scripts.lib.rewards.discriminator_settings import DiscriminatorSettings
from workflow_scripts.lib.rewards.discriminators import FoundationDiscriminator
from workflow_scripts.lib.rewards.encoders import DTYPES
from workflow_scripts.lib.rewards.foundation import TimmTokens
from workflow_scripts.lib.training.denoiser import Denoiser
from workflow_scripts.lib.training.grpo_training import GRPOTraining
from workflow_scripts.lib.training.judges import REWARD, Judges
from workflow_scripts.lib.training.online_training import place_frozen
from workflow_scripts.lib.training.references import References
from workflow_scripts.lib.training.rollouts import Sampler

from .sd3_sizes import Size, discriminator_recipe, random_pipeline, save_random_dinov2
from .straightforward_grpo import Batch, StraightforwardLoop

SEED = 0


class Epoch(NamedTuple):
    """N images (N, 3, H, W) of an epoch and more, all on the CPU; `moved` is the change of all adapters in one row."""

    images: Tensor
    log_probs: Tensor
    rewards: Tensor
    moved: Tensor


class Difference(NamedTuple):
    """Mean distance of images in levels of 255; largest of log-probabilities; of rewards and updates as a share."""

    images: float
    log_probs: float
    rewards: float
    moved: float

    @classmethod
    def of(cls, ours: Epoch, theirs: Epoch) -> Difference:
        """How far apart two epochs are."""
        return cls(
            (ours.images.float() - theirs.images.float()).abs().mean().item(),
            (ours.log_probs - theirs.log_probs).abs().max().item(),
            ((ours.rewards - theirs.rewards).norm() / (ours.rewards - ours.rewards.mean()).norm()).item(),
            ((ours.moved - theirs.moved).norm() / ours.moved.norm()).item(),
        )

    def within(self, limits: Difference) -> bool:
        """Whether nothing is farther apart; NaN is."""
        return all(one <= limit for one, limit in zip(self, limits, strict=True))


LIMITS = {"no": Difference(0.01, 1e-5, 0.01, 5e-3), "bf16": Difference(2.0, 1e-3, 0.3, 0.5)}
"""By the arithmetic of the training. In bfloat16 a last bit that differs grows to the rounding of that format.
Gradients then agree to about 1 %, and updates, as Adam divides by their size, to 7 to 26 % (measured at the small
size)."""


class WitnessingJudges(Judges):
    """Judges that remember what they judged."""

    def judge(self, rollout, *, of_references: bool) -> dict[str, Tensor]:
        self.rollout, self.scores = rollout, super().judge(rollout, of_references=of_references)
        return self.scores


class Epochs:
    """An SD3 and a discriminator on DINOv2, random, and the epoch that both sides do from the same weights.

    The reward is the discriminator's; it does not learn. `peak_bytes` tells each side's largest memory on a GPU, the
    networks included; `history` is the row of our last epoch.
    """

    def __init__(self, size: Size, groups: int | None = None) -> None:
        from accelerate import Accelerator

        self.grpo, self.training = size.settings(groups)
        self.accelerator = Accelerator(mixed_precision=self.training.mixed_precision)
        self.pixels, device = size.pixels, self.accelerator.device
        self.pipeline = random_pipeline(size, device)
        torch.manual_seed(SEED)
        denoiser = Denoiser(self.pipeline.transformer, self.training, needs_reference=False)
        denoiser.prepare(self.accelerator)
        place_frozen(self.pipeline, self.accelerator, self.training)
        prompts = [f"{number} frogs on blue" for number in range(self.grpo.groups_per_epoch)]
        self.sampler = Sampler(
            self.pipeline, denoiser, prompts, self.grpo, (self.pixels, self.pixels), self.accelerator, SEED
        )
        self.discriminator = _discriminator(size, device)
        unread = References(SimpleNamespace(index=pd.DataFrame), [])  # they are for a discriminator that learns
        self.judges = WitnessingJudges(None, self.discriminator, unread, [], self.accelerator)
        self.start = {name: weight.detach().clone() for name, weight in denoiser.trained().items()}
        self.peak_bytes: dict[str, int] = {}
        self.history: dict[str, Any] = {}

    def ours(self) -> Epoch:
        """By `GRPOTraining`."""
        with self._measured("ours"), tempfile.TemporaryDirectory() as folder:
            training = GRPOTraining(
                *(self.sampler.denoiser, self.sampler, self.judges, self.grpo, self.training, None),
                *(self.accelerator, Path(folder), "epoch", SEED),
            )
            (self.history,) = training.run()
            micros = self.judges.rollout.micro_batches
            images = torch.cat([micro.images for micro in micros]).permute(0, 3, 1, 2)
            log_probs = torch.cat([micro.trajectory.log_probs for micro in micros])
            return Epoch(images, log_probs.cpu(), self.judges.scores[REWARD], self._moved())

    def straightforward(self) -> Epoch:
        """By `StraightforwardLoop`, from the same seeds."""
        with self._measured("straightforward"):
            loop = StraightforwardLoop(self.pipeline, self._reward, self.pixels, self.grpo, self.training)
            batches = loop.epoch(self._batches())
            rows = [torch.cat([getattr(b, name) for b in batches]) for name in ("images", "log_probs", "rewards")]
            return Epoch(*(row.cpu() for row in rows), self._moved())

    def with_anomaly_detection(self) -> Epoch:
        """The straightforward loop under autograd's anomaly detection, which the released trainers leave on."""
        with torch.autograd.set_detect_anomaly(True):
            return self.straightforward()

    def _batches(self) -> list[Batch]:
        """The samples that our rollout draws, prompt by prompt."""
        samples = group_samples(self.sampler._draw_prompts(0), self.grpo, SEED, 0)
        count = self.grpo.micro_batch_size
        parts = [samples[start : start + count] for start in range(0, len(samples), count)]
        return [Batch(part[0].prompt, [sample.seed for sample in part]) for part in parts]

    def _reward(self, images: Tensor) -> Tensor:
        """The discriminator's reward of images uint8 (B, 3, H, W), from the network of timm and the head alone."""
        from torchvision.transforms.v2 import functional as transforms

        model, settings = self.discriminator.model, self.discriminator.settings
        about = model.preprocess
        resized = transforms.resize(images, about.size, transforms.InterpolationMode.BICUBIC, antialias=True)
        pixels = transforms.normalize(resized / 255, about.mean, about.std)
        tokens = model.model.forward_features(pixels.to(model.dtype)).float()
        tokens = tokens / tokens.square().mean(dim=-1, keepdim=True).sqrt()  # each of length √width
        logits = self.discriminator.head(tokens)[..., 0]
        return settings.cls_weight * logits[:, 0] + settings.patch_weight * logits[:, 1:].mean(1)

    def _moved(self) -> Tensor:
        weights = self.sampler.denoiser.trained()
        return torch.cat([(weights[name].detach() - start).flatten() for name, start in self.start.items()]).cpu()

    @contextmanager
    def _measured(self, side: str) -> Iterator[None]:
        """From the weights of the start, with the peak of memory noted."""
        with torch.no_grad():
            for name, weight in self.sampler.denoiser.trained().items():
                weight.copy_(self.start[name])
        on_gpu = self.accelerator.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        yield
        if on_gpu:
            self.peak_bytes[side] = max(self.peak_bytes.get(side, 0), torch.cuda.max_memory_allocated())


def _discriminator(size: Size, device: torch.device) -> FoundationDiscriminator:
    with tempfile.TemporaryDirectory() as folder:
        save_random_dinov2(size, Path(folder), device)
        model = TimmTokens(Path(folder), str(device), DTYPES[size.dtype])
    settings = DiscriminatorSettings.of_recipe(discriminator_recipe())
    return FoundationDiscriminator(model, settings, str(device), SEED)


def print_difference(ours: Epoch, theirs: Epoch) -> Difference:
    difference = Difference.of(ours, theirs)
    print("difference:", ", ".join(f"{name} {value:.2g}" for name, value in difference._asdict().items()), flush=True)
    return difference


def same_within(limits: Difference) -> Callable[[Epoch, Epoch], bool]:
    """Whether two epochs are no farther apart than `limits`; says how far they are."""
    return lambda ours, theirs: print_difference(ours, theirs).within(limits)
