"""SFT and Diffusion-DPO of a policy on encoded examples."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..files import write_json
from .examples import Examples
from .loop import Training
from .noise import draw_step, noise_schedule
from .objectives import DPO, SFT, DenoisingErrors
from .policy_job import PolicyJob
from .settings import TrainingSettings
from .updates import accelerator_of


def post_train(job: PolicyJob, objective: SFT | DPO, examples_path: Path, settings: TrainingSettings) -> None:
    """Train on a file of examples and write the policy file, history.json beside it.

    Stopped and started again it continues. UserError for a pairwise objective on examples without rejected images.
    """
    accelerator = accelerator_of(settings)
    examples, made_of = Examples.load(examples_path)
    if objective.pairwise and examples.worst is None:
        raise UserError(f"{examples_path} has no rejected images, which DPO needs; encode pairs with encode_latents")
    pipeline = job.pipeline()
    scheduler = noise_schedule(pipeline.scheduler)
    denoiser = job.denoiser(pipeline, settings, needs_reference=objective.pairwise, from_base=objective.from_base)
    denoiser.prepare(accelerator)
    steps, count, shape = settings.steps(len(examples)), len(examples), examples.best.shape[1:]
    _print_arithmetic(objective, settings, steps, count, accelerator.num_processes)
    made_by = job.made_by(settings, objective=objective.name, **asdict(objective), examples=made_of)
    if job.is_done(made_by, accelerator):
        return

    def draw(step: int):
        dropout = settings.caption_dropout
        return draw_step(step, settings.examples_per_step, count, shape, scheduler, dropout, job.seed)

    errors = DenoisingErrors(denoiser, examples, scheduler, accelerator.device)
    means = partial(objective.means, errors)
    history = Training(denoiser, settings, steps, draw, means, accelerator, job.states, made_by).run()
    if accelerator.is_main_process:
        write_json(job.out.parent / "history.json", history)
        job.save(pipeline, denoiser, made_by, objective=objective.name, steps=steps)


def _print_arithmetic(objective: SFT | DPO, settings: TrainingSettings, steps: int, count: int, processes: int) -> None:
    per_step = settings.examples_per_step
    print(
        f"{objective.name}: {count} {'pairs' if objective.pairwise else 'images'}, "
        f"{settings.batch_size} x {settings.gradient_accumulation_steps} = {per_step} a step, "
        f"{steps} steps = {steps * per_step / count:.1f} passes, on {processes} process(es)",
        flush=True,
    )
