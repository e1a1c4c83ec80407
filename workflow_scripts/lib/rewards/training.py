"""Training of GAN-RM heads on cached features: one supervised loop, and the four variants of Tab. 4 made with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import UserError
from ..seeds import seed_of
from .pseudo_labels import bootstrap_set
from .reward_heads import HEADS, Centroid, Head, RewardModel, rpl_loss
from .scoring import head_logits
from .settings import RewardSettings


@dataclass(frozen=True)
class TrainedHead:
    """The head at the last step, copies of it at regular steps (the last included), and one record per epoch."""

    head: Head
    checkpoints: list[Head]
    history: list[dict] = field(default_factory=list)


def auc(scores: Tensor, positive: Tensor) -> float:
    """Probability that a positive scores above a negative, ties counting one half (Mann-Whitney)."""
    above, below = scores[positive, None], scores[None, ~positive]
    return ((above > below).double() + 0.5 * (above == below).double()).mean().item()


def stratified_split(positive: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Row numbers for training and for holding out: `fraction` of each class, at least one image of each in both."""
    train, held_out = [], []
    for rows in (positive.nonzero().flatten(), (~positive).nonzero().flatten()):
        if len(rows) < 2:
            raise UserError(f"a reward head needs at least 2 target and 2 generated images, one class has {len(rows)}")
        rows = rows[torch.randperm(len(rows), generator=generator)]
        n = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        held_out.append(rows[:n])
        train.append(rows[n:])
    return torch.cat(train), torch.cat(held_out)


def train_head(
    features: Tensor,
    targets: Tensor,
    settings: RewardSettings,
    seed: int,
    device: str = "cpu",
    pseudo: int = 0,
) -> TrainedHead:
    """Train one head for a fixed number of epochs (AdamW, drop_last) and keep `settings.checkpoints` copies of it.

    features (N, 2d) float32; targets (N,) in [0, 1], 0 = generated, above 0 = target or pseudo-target. The last
    `pseudo` rows have pseudo-labels; none of them is held out, since accuracy is measured against what is known. The
    result depends on the arguments only. UserError for too few images or steps, and for a loss that stops being finite.
    """
    generator = torch.Generator().manual_seed(seed)
    known = len(targets) - pseudo
    rows, held_out = stratified_split(targets[:known] > 0, settings.holdout, generator)
    rows = torch.cat([rows, torch.arange(known, len(targets))])
    per_epoch, batch_size = _steps_per_epoch(len(rows), settings)
    marks = {round(per_epoch * settings.epochs * (i + 1) / settings.checkpoints) for i in range(settings.checkpoints)}
    features, targets = features.to(device, torch.float32), targets.to(device, torch.float32)
    checkpoints, history, losses = [], [], []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = HEADS[settings.kind](features.shape[1], settings.dropout).to(device)
        optimizer = torch.optim.AdamW(
            head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        for step, batch in enumerate(_batches(rows, batch_size, settings.epochs, generator), start=1):
            losses.append(train_step(head, optimizer, features[batch], targets[batch], settings.loss))
            if step in marks:
                checkpoints.append(copy.deepcopy(head).eval())
            if step % per_epoch == 0:
                _refuse_nan(losses, step, per_epoch, settings)
                scores = head_logits(head, features[held_out], settings.loss)
                history.append(_record(step, per_epoch, losses, scores, targets[held_out].cpu() > 0))
                losses = []
    return TrainedHead(head.eval(), checkpoints, history)


def train_reward_model(
    proxies: Tensor,
    negatives: Tensor | None,
    pool: Tensor | None,
    settings: RewardSettings,
    seed: int,
    device: str = "cpu",
) -> tuple[RewardModel, list[dict]]:
    """Train GAN-RM in one of the variants of Tab. 4; returns the model and the history of every stage.

    proxies D_p (N+, 2d) have label 1, negatives (N-, 2d) label 0; kind centroid needs the proxies alone. naive: the
    last head. average, voting: all checkpoints. bootstrap: a head trained from scratch on D = D_r ∪ D_f+ ∪ D_f-, where
    the naive head ranked the pool (P, 2d).
    """
    _refuse_bad_features(proxies=proxies, negatives=negatives, pool=pool)
    if settings.kind == Centroid.kind:
        return RewardModel([Centroid.of(proxies)], "naive", "bce"), []
    if negatives is None:
        raise UserError(f"kind {settings.kind} tells target from generated images: give the latter with --negatives")
    features = torch.cat([proxies, negatives])
    targets = torch.cat([torch.ones(len(proxies)), torch.zeros(len(negatives))])
    first = train_head(features, targets, settings, seed, device)
    history = [{"stage": "initial", **record} for record in first.history]
    if settings.variant in ("average", "voting"):
        return RewardModel(first.checkpoints, settings.variant, settings.loss), history
    if settings.variant == "naive":
        return RewardModel([first.head], settings.variant, settings.loss), history
    if pool is None:
        raise UserError("variant bootstrap ranks further samples of the generator: give their features with --pool")
    chosen, labels = bootstrap_set(
        head_logits(first.head, pool, settings.loss),
        settings.bootstrap_positives,
        settings.bootstrap_negatives,
        settings.alpha,
    )
    second = train_head(
        torch.cat([features, pool[chosen]]),
        torch.cat([targets, labels]),
        settings,
        seed_of(seed, "bootstrap"),
        device,
        pseudo=len(chosen),
    )
    history += [{"stage": "bootstrap", **record} for record in second.history]
    return RewardModel([second.head], settings.variant, settings.loss), history


def _steps_per_epoch(n: int, settings: RewardSettings) -> tuple[int, int]:
    """Steps per epoch and the batch size, which is at most the training set (BatchNorm needs two images or more)."""
    batch_size = min(settings.batch_size, n)
    if batch_size < 2:
        raise UserError(f"a batch of {batch_size} image cannot train BatchNorm; raise --batch-size to 2 or more")
    steps = n // batch_size
    if steps * settings.epochs < settings.checkpoints:
        raise UserError(
            f"{steps} steps × {settings.epochs} epochs are too few for {settings.checkpoints} checkpoints; "
            "raise --epochs"
        )
    return steps, batch_size


def _batches(rows: Tensor, batch_size: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Row numbers of every step: a new order each epoch, an incomplete last batch dropped."""
    for _ in range(epochs):
        order = rows[torch.randperm(len(rows), generator=generator)]
        yield from order[: len(rows) // batch_size * batch_size].split(batch_size)


def train_step(
    head: Head, optimizer: torch.optim.Optimizer, features: Tensor, targets: Tensor, loss_kind: str
) -> Tensor:
    """One optimiser step on features (B, 2d) and targets (B,); the loss before it, not synchronised."""
    head.train()
    loss = rpl_loss(head(features), targets, loss_kind)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def _record(step: int, per_epoch: int, losses: list[Tensor], scores: Tensor, positive: Tensor) -> dict:
    return {
        "epoch": step // per_epoch,
        "step": step,
        "loss": torch.stack(losses).mean().item(),
        "held_out_accuracy": ((scores > 0) == positive).double().mean().item(),
        "held_out_auc": auc(scores, positive),
    }


def _refuse_nan(losses: list[Tensor], step: int, per_epoch: int, settings: RewardSettings) -> None:
    """UserError that names the first step of this epoch whose loss is not finite."""
    bad = (~torch.isfinite(torch.stack(losses))).nonzero()
    if len(bad):
        raise UserError(
            f"the loss is {losses[bad[0].item()].item()} at step {step - len(losses) + bad[0].item() + 1} of "
            f"{per_epoch * settings.epochs} (epoch {step // per_epoch}); try a lower --learning-rate "
            f"(now {settings.learning_rate:g}) or a larger --batch-size (now {settings.batch_size})"
        )


def _refuse_bad_features(**named: Tensor | None) -> None:
    """UserError that names the set whose features hold NaN or inf, or whose width differs from the others'."""
    given = {name: features for name, features in named.items() if features is not None}
    for name, features in given.items():
        if not features.isfinite().all():
            bad = (~features.isfinite().all(dim=1)).nonzero().flatten().tolist()
            raise UserError(
                f"{name}: features of {len(bad)} images are not finite (first row {bad[0]}); encode them again"
            )
    widths = {name: features.shape[1] for name, features in given.items()}
    if len(set(widths.values())) > 1:
        raise UserError(f"features of different widths: {widths}; encode all images with the same encoder")
