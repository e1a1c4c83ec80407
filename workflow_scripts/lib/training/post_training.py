"""SFT and Diffusion-DPO of a policy on encoded examples."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion.pipelines import denoiser_name, denoiser_of, is_saved, load_pipeline, save_policy
from ..errors import UserError
from ..files import write_json
from ..provenance import fingerprint
from .denoiser import Denoiser, predict
from .dpo import dpo_loss, prediction_error
from .examples import Examples, conditioning
from .loop import Training
from .noise import StepDraw, draw_step, noise_schedule, targets
from .settings import TrainingSettings
from .updates import accelerator_of, from_first


class DenoisingErrors:
    """Errors of a denoiser and its reference on noised latents of examples."""

    def __init__(self, denoiser: Denoiser, examples: Examples, scheduler, device) -> None:
        self.denoiser, self.examples, self.scheduler, self.device = denoiser, examples, scheduler, device

    def of(self, latents: Tensor, draw: StepDraw, reference: bool = False) -> Tensor:
        """Mean squared prediction errors (B,), or (2B,) where `latents` stacks two images of each example in `draw`."""
        times = len(latents) // len(draw.index)
        noise, timesteps, index, dropped = (
            x.repeat(times, *[1] * (x.ndim - 1)) for x in (draw.noise, draw.timesteps, draw.index, draw.dropped)
        )
        latents, noise, timesteps = (x.to(self.device) for x in (latents, noise, timesteps))
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        target = targets(self.scheduler, latents, noise, timesteps)
        text = conditioning(self.examples, index, dropped, self.device)
        if reference:
            return prediction_error(self.denoiser.predict_reference(noisy, timesteps, **text), target)
        return prediction_error(predict(self.denoiser.network, noisy, timesteps, **text), target)

    def sft(self, draw: StepDraw) -> dict[str, Tensor]:
        """The noise-prediction loss on the selected images (arXiv 2506.13846, Sec. 3.3)."""
        return {"loss": self.of(self.examples.best[draw.index], draw).mean()}

    def dpo(self, draw: StepDraw, beta: float) -> dict[str, Tensor]:
        """Diffusion-DPO: the same timestep and the same noise for both images of a pair, which pass together."""
        pairs = torch.cat([self.examples.best[draw.index], self.examples.worst[draw.index]])
        best, worst = self.of(pairs, draw).chunk(2)
        reference_best, reference_worst = self.of(pairs, draw, reference=True).chunk(2)
        loss, accuracy = dpo_loss(best, worst, reference_best, reference_worst, beta)
        return {"loss": loss, "implicit_accuracy": accuracy, "best_error": best.mean(), "worst_error": worst.mean()}


def post_train(
    objective: str,
    entry: dict,
    entries: dict[str, dict],
    start: Path | None,
    examples_path: Path,
    settings: TrainingSettings,
    seed: int,
    out: Path,
    code: str,
    beta: float | None = None,
    reference: Path | str | None = None,
) -> None:
    """Train `objective` (sft or dpo) from a model, or from the policy file `start`, and write the policy file `out`.

    DPO's reference is what training starts from, or with `reference` "base" the untouched model. Stopped and started
    again it continues.
    """
    accelerator = accelerator_of(settings)
    examples, made_of = Examples.load(examples_path)
    if objective == "dpo" and examples.worst is None:
        raise UserError(f"{examples_path} has no rejected images, which DPO needs; encode pairs with encode_latents")
    pipeline = load_pipeline(entry, entries, start, "cpu", torch.float32)
    scheduler = noise_schedule(pipeline.scheduler)
    torch.manual_seed(seed)  # adapters start at random
    denoiser = Denoiser.of(denoiser_of(pipeline), settings, needs_reference=objective == "dpo")
    if reference == "base" and start is not None and objective == "dpo":
        denoiser.use_reference(denoiser_of(load_pipeline(entry, entries, None, "cpu", torch.float32)))
    denoiser.prepare(accelerator)
    errors = DenoisingErrors(denoiser, examples, scheduler, accelerator.device)
    steps, shape = settings.steps(len(examples)), examples.best.shape[1:]
    _print_arithmetic(objective, settings, steps, len(examples), accelerator)
    made_by = fingerprint(
        objective=objective,
        model=entry["name"],
        examples=made_of,
        settings={**asdict(settings), "checkpoint_seconds": None},  # it changes no result
        seed=seed,
        beta=beta,
        code=code,
        reference=reference,
    )
    if from_first(accelerator, lambda: is_saved(out, made_by)):
        return
    training = Training(
        denoiser,
        settings,
        steps,
        lambda step: draw_step(
            step, settings.examples_per_step, len(examples), shape, scheduler, settings.caption_dropout, seed
        ),
        errors.sft if objective == "sft" else lambda draw: errors.dpo(draw, beta),
        accelerator,
        out.parent / "state",
        made_by,
    )
    history = training.run()
    if accelerator.is_main_process:
        about = {"model": entry["name"], "objective": objective, "steps": steps, "seed": seed, "fingerprint": made_by}
        _write(out, pipeline, denoiser, history, about)


def _write(out: Path, pipeline, denoiser: Denoiser, history: list[dict], about: dict) -> None:
    write_json(out.parent / "history.json", history)
    save_policy(out, denoiser_name(type(pipeline)), denoiser.merged(), **about)
    shutil.rmtree(out.parent / "state", ignore_errors=True)


def _print_arithmetic(objective: str, settings: TrainingSettings, steps: int, count: int, accelerator) -> None:
    what = "pairs" if objective == "dpo" else "images"
    per_step = settings.examples_per_step
    print(
        f"{objective}: {count} {what}, "
        f"{settings.batch_size} x {settings.gradient_accumulation_steps} = {per_step} a step, "
        f"{steps} steps = {steps * per_step / count:.1f} passes, on {accelerator.num_processes} process(es)",
        flush=True,
    )
