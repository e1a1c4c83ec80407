"""Discriminators of Adv-GRPO (arXiv 2511.20256): rewards that learn to tell reference images from generated ones.

`discriminator(images, prompts)` is the reward, `discriminator.update(references, generated, prompts)` one step of its
own training. References and generated images, uint8, take one path to the network: the model's resize and normalisation
on tensors. Trained weights are float32 whatever the arithmetic of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import UserError
from ..pixels import to_uint8
from .adversarial import LOSSES, colour_jitter, jitter_factors
from .clip import TransformersCLIP
from .discriminator_settings import DiscriminatorSettings
from .encoders import DTYPES
from .foundation import FoundationModel, load_foundation
from .scorers import CosineScorer, load_scorer


class Discriminator:
    """What both kinds share. A subclass gives `outputs`, `reward` and `loss`; its `trained` parameters are float32."""

    trained: dict[str, nn.Parameter]

    def __init__(self, settings: DiscriminatorSettings, seed: int = 0) -> None:
        self.settings, self.updates = settings, 0
        self.generator = torch.Generator().manual_seed(seed)
        betas = (settings.adam_beta1, settings.adam_beta2)
        self.optimiser = torch.optim.Adam(self.trained.values(), settings.learning_rate, betas)

    def outputs(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Logits (B, …) of images uint8 (B, H, W, 3), with gradient to the trained parameters."""
        raise NotImplementedError

    def reward(self, outputs: Tensor) -> Tensor:
        """Rewards (B,) of `outputs`."""
        raise NotImplementedError

    def loss(self, reference: Tensor, generated: Tensor) -> Tensor:
        """The loss of the outputs of as many references and generated images."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Rewards (B,), float32 on the CPU, of images uint8 (B, H, W, 3)."""
        device, chunks = self._device(), self._chunks(len(images))
        rewards = [self.reward(self.outputs(images[chunk].to(device), prompts[chunk])) for chunk in chunks]
        return torch.cat(rewards).float().cpu()

    def update(self, references: Tensor, generated: Tensor, prompts: Sequence[str]) -> dict[str, float]:
        """One optimiser step on all pairs of a reference and a generated image, each uint8 (B, H, W, 3).

        Gives loss, grad_norm, the mean rewards `reference` and `generated` and the share of pairs in the right order
        (`accuracy`), all before the step. UserError for a loss that is not finite.
        """
        if not len(references) == len(generated) == len(prompts):
            counts = f"{len(references)} references, {len(generated)} images and {len(prompts)} prompts"
            raise UserError(f"a discriminator learns from pairs, but was given {counts}")
        self.optimiser.zero_grad(set_to_none=True)
        sides = [self._augmentation(images) for images in (references, generated)]
        totals = {"loss": 0.0, "reference": 0.0, "generated": 0.0, "accuracy": 0.0}
        for chunk in self._chunks(len(generated)):
            pair = [augmented(chunk) for augmented in sides]
            share = len(pair[0]) / len(generated)
            means = self._backward(*pair, prompts[chunk], share)
            totals = {name: total + share * means[name] for name, total in totals.items()}
        return self._step(totals)

    def _backward(
        self, references: Tensor, generated: Tensor, prompts: Sequence[str], share: float
    ) -> dict[str, float]:
        """Add the gradients of a share of all pairs; their own means."""
        pair = [self.outputs(images, prompts) for images in (references, generated)]
        loss = self.loss(*pair)
        (loss * share).backward()
        ours, theirs = (self.reward(outputs.detach()) for outputs in pair)
        means = {"loss": loss, "reference": ours.mean(), "generated": theirs.mean()}
        means["accuracy"] = (ours > theirs).float().mean()
        return {name: value.item() for name, value in means.items()}

    def _step(self, totals: dict[str, float]) -> dict[str, float]:
        gradients = [parameter.grad for parameter in self.trained.values()]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not norm.isfinite():
            raise UserError(
                f"the gradient of the discriminator is {norm.item()} after {self.updates} updates (loss "
                f"{totals['loss']}): use a smaller learning_rate, or float32 for its forward pass"
            )
        self.optimiser.step()
        self.updates += 1
        return totals | {"grad_norm": norm.item()}

    def state_dict(self) -> dict[str, Any]:
        """Trained weights, optimiser, random state and number of updates: a resumed run equals an unbroken one."""
        return {
            "trained": {name: parameter.detach().clone() for name, parameter in self.trained.items()},
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state of `state_dict`; UserError for one of another discriminator."""
        shapes, own = ({n: tuple(p.shape) for n, p in one.items()} for one in (state["trained"], self.trained))
        if shapes != own:
            raise UserError(
                f"the saved discriminator has other trained weights ({len(shapes)} tensors, this one {len(own)}); "
                "resume with the recipe that it was trained by, or begin anew"
            )
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state["trained"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.updates = state["updates"]

    def _augmentation(self, images: Tensor) -> Callable[[slice], Tensor]:
        """Some of the images (B, H, W, 3) as they are trained on, uint8; their colours are drawn for all at once."""
        strength, device = self.settings.colour_jitter, self._device()
        if not strength:
            return lambda chunk: images[chunk].to(device)
        factors = jitter_factors(len(images), strength, self.generator)
        levels = images.permute(0, 3, 1, 2)
        return lambda chunk: to_uint8(colour_jitter(levels[chunk].to(device).float() / 255, factors[:, chunk]))

    def _device(self) -> torch.device:
        return next(iter(self.trained.values())).device

    def _chunks(self, count: int) -> list[slice]:
        size = self.settings.batch_size
        return [slice(start, start + size) for start in range(0, count, size)]


class PreferenceDiscriminator(Discriminator):
    """A scorer of image and prompt (PickScore) whose last vision blocks learn; its score is logit and reward."""

    def __init__(
        self, scorer: CosineScorer, settings: DiscriminatorSettings, dtype: torch.dtype = torch.float32, seed: int = 0
    ) -> None:
        if not isinstance(getattr(scorer, "clip", None), TransformersCLIP):
            raise UserError(f"a preference discriminator needs a CLIP of transformers, not {type(scorer).__name__}")
        self.scorer = scorer
        self.dtype = torch.bfloat16 if dtype == torch.float16 else dtype  # whose small gradients would be zeros
        self.trained = _last_blocks(scorer.clip.model.vision_model, settings.trained_blocks)
        self._texts: dict[str, Tensor] = {}
        super().__init__(settings, seed)

    def outputs(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Scores (B,), those of the scorer before the first update."""
        with torch.autocast(images.device.type, self.dtype, enabled=self.dtype != torch.float32):
            embeddings = self.scorer.clip.image_embeddings(images)
        return self.scorer.score((embeddings * self._embedded(prompts)).sum(dim=1))

    def reward(self, outputs: Tensor) -> Tensor:
        """The scores, divided by `reward_divisor` (26 as coded, 1 for PickScore's own scale)."""
        return outputs / self.settings.reward_divisor

    def loss(self, reference: Tensor, generated: Tensor) -> Tensor:
        """Bradley-Terry as coded, or the binary cross-entropy of Eq. 6."""
        return LOSSES[self.settings.loss](reference, generated)

    @torch.no_grad()
    def _embedded(self, prompts: Sequence[str]) -> Tensor:
        new = sorted(set(prompts) - self._texts.keys())
        if new:
            texts = self.scorer.clip.text_embeddings([self.scorer.text(prompt) for prompt in new])
            self._texts |= zip(new, texts, strict=True)
        return torch.stack([self._texts[prompt] for prompt in prompts])


class FoundationDiscriminator(Discriminator):
    """A head on the tokens of a frozen vision model, shared by the global token and all patches; no prompt is read."""

    def __init__(
        self, model: FoundationModel, settings: DiscriminatorSettings, device: str = "cpu", seed: int = 0
    ) -> None:
        self.model = model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            width = settings.head_width
            self.head = nn.Sequential(nn.Linear(model.width, width), nn.GELU(), nn.Linear(width, 1)).to(device)
        self.trained = dict(self.head.named_parameters())
        super().__init__(settings, seed)

    def outputs(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Logits (B, 1 + N), the global token's first; (B, 1) where neither reward nor loss weighs patches."""
        cls, patches = self.model.tokens(images)
        reads_patches = self.settings.patch_weight or self.settings.patch_loss_weight
        tokens = torch.cat([cls[:, None], patches], dim=1) if reads_patches else cls[:, None]
        if self.settings.normalise:
            tokens = normalize(tokens, dim=2) * tokens.shape[2] ** 0.5
        return self.head(tokens).squeeze(2)

    def reward(self, outputs: Tensor) -> Tensor:
        """cls_weight · the global token's logit + patch_weight · the patches' mean logit, over reward_divisor."""
        parts = [(self.settings.cls_weight, outputs[:, 0])]
        if self.settings.patch_weight:
            parts.append((self.settings.patch_weight, outputs[:, 1:].mean(dim=1)))
        return sum(weight * logits for weight, logits in parts) / self.settings.reward_divisor

    def loss(self, reference: Tensor, generated: Tensor) -> Tensor:
        """cls_loss_weight · loss of the global tokens + patch_loss_weight · that of all patches (coded: 1, 0.3)."""
        loss = LOSSES[self.settings.loss]
        total = self.settings.cls_loss_weight * loss(reference[:, 0], generated[:, 0])
        if self.settings.patch_loss_weight:
            total = total + self.settings.patch_loss_weight * loss(reference[:, 1:], generated[:, 1:])
        return total


def load_discriminator(
    recipe: Mapping[str, Any], entry: dict, device: str = "cpu", dtype: str = "float32", seed: int = 0
) -> Discriminator:
    """The discriminator of a plain recipe on the model of a registry entry.

    `dtype` is the arithmetic of the network's forward pass. UserErrors: those of `load_scorer` and `load_foundation`.
    """
    settings = DiscriminatorSettings.of_recipe(recipe)
    if settings.kind == "foundation":
        return FoundationDiscriminator(load_foundation(entry, device, dtype), settings, device, seed)
    scorer = load_scorer(entry, device, "float32")
    return PreferenceDiscriminator(scorer, settings, DTYPES[dtype], seed)


def _last_blocks(vision: nn.Module, count: int) -> dict[str, nn.Parameter]:
    """Parameters of the last blocks of a vision tower by name, made trainable; UserError for more than it has."""
    blocks = vision.encoder.layers
    if not 1 <= count <= len(blocks):
        raise UserError(f"trained_blocks is {count}, but the vision encoder has {len(blocks)} blocks; use 1 to that")
    first = len(blocks) - count
    named = {f"{first + i}.{name}": p for i, one in enumerate(blocks[first:]) for name, p in one.named_parameters()}
    return {name: parameter.requires_grad_(True) for name, parameter in named.items()}
