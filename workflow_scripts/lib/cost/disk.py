"""Bytes that jobs leave behind."""

from __future__ import annotations

from collections.abc import Callable

from ..jobs import Job
from .work import Unknown, Worker

UNIT = 512**2  # pixels of the unit in which imported images are counted
TEXT_NUMBERS = {"sd15": 77 * 768, "sdxl": 77 * 2048, "videocrafter2": 77 * 1024, "sd3": 205 * 4096}
"""Numbers in the embedding of a prompt, which is kept beside the latents that a training reads."""
WITHOUT_LATENTS = ("qwen_image",)  # it draws references only


def bytes_written(job: Job, worker: Worker) -> float:
    """Of a job; that of a small one for a network whose sizes are not known."""
    small = worker.numbers.size("small_job")
    try:
        return small + (WRITTEN[job.rule](job, worker) if job.rule in WRITTEN else 0.0)
    except Unknown:
        return small


def _samples(job: Job, worker: Worker) -> float:
    name, size = worker.generator(job), worker.numbers.size
    pixels = job.images * worker.megapixels(job) * 1e6 * size("pixel")
    kept = 0 if name in WITHOUT_LATENTS else worker.samples(job) * worker.counted("generators", name)["latent"]
    return pixels + kept * size("latent")


def _imported(job: Job, worker: Worker) -> float:
    return job.images * UNIT * worker.numbers.size("pixel")


def _features(job: Job, worker: Worker) -> float:
    numbers = worker.counted("judges", worker.role(job, "encoder"))["features"]
    return job.images / worker.frames(job) * numbers * worker.numbers.size("feature")


def _examples(job: Job, worker: Worker) -> float:
    """Latents of all images and, at most, an embedding with each."""
    name, size = worker.generator(job), worker.numbers.size
    latents = worker.counted("generators", name)["latent"] * size("latent")
    return worker.samples(job) * (latents + TEXT_NUMBERS.get(name, 0) * size("text"))


def _policy(job: Job, worker: Worker) -> float:
    return worker.counted("generators", worker.generator(job))["parameters"] * worker.numbers.size("weight")


WRITTEN: dict[str, Callable[[Job, Worker], float]] = {
    "sample_images": _samples,
    "import_images": _imported,
    "encode_images": _features,
    "encode_latents": _examples,
    "encode_given_images": _examples,
    **dict.fromkeys(("train_sft", "train_dpo", "train_grpo"), _policy),
}
"""By rule, for those that write more than a small file."""
