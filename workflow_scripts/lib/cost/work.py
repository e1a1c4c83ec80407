"""What a job does: its FLOPs and what it waits for.

One function for each step that needs a GPU. FLOPs are those of `flops`; a sample is an image, or a clip of frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ..jobs import Job
from ..spec import Config, parse_policy
from .numbers import Numbers

SAMPLING, TRAINING, JUDGING = "sampling", "training", "judging"


class Unknown(Exception):
    """A network whose FLOPs were never counted; the message is its name."""


@dataclass(frozen=True)
class Work:
    """`flops` by kind (sampling, training, judging) and CPU seconds that the GPU waits for.

    `reading` seconds of a CPU run beside the networks: the longer of the two counts. `seconds` are the GPU's own where
    FLOPs say nothing. `subject` names what jobs must share to cost the same per image.
    """

    subject: str
    generator: str = ""
    flops: dict[str, float] = field(default_factory=dict)
    waiting: float = 0.0
    reading: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Worker:
    """Works out what jobs of a configuration do."""

    config: Config
    numbers: Numbers

    def work(self, job: Job) -> Work | None:
        """Of a job on a GPU; None for a rule that has no estimate. Unknown for a model without counted FLOPs."""
        made = self._by_rule.get(job.rule)
        return made(job) if made else None

    @cached_property
    def _by_rule(self) -> dict[str, Callable[[Job], Work]]:
        return {
            "sample_images": self._sample_images,
            "encode_images": lambda job: self._judge(job, self.role(job, "encoder")),
            "score_images": lambda job: self._judge(job, self.role(job, "scorer")),
            "encode_latents": self._encode_latents,
            "encode_given_images": self._encode_latents,
            "train_sft": self._train,
            "train_dpo": self._train,
            "train_grpo": self._train_grpo,
            "evaluate_vbench": self._evaluate_vbench,
        }

    # ---- names

    def generator(self, job: Job) -> str:
        """The registry entry whose sizes the generator behind a job's policy has: itself, or the one it is based on."""
        scale = job.wildcards["scale"]
        entry = self.config.model(self.config.base_model(job.wildcards["policy"], scale), scale)
        known = self.numbers.flops["generators"]
        names = (entry["name"], entry.get("base"), self._same_source(entry))
        return next((name for name in names if name in known), entry["name"])

    def _same_source(self, entry: dict) -> str | None:
        """An entry with counted FLOPs that has the same files: a generator under another prompt suffix."""
        models = self.config.models.data
        counted = (name for name in self.numbers.flops["generators"] if name in models)
        return next((name for name in counted if models[name].get("source") == entry.get("source")), None)

    def sampling(self, job: Job) -> dict:
        """How the generator behind a job's policy samples."""
        return self.config.sampling(job.wildcards["policy"], job.wildcards["scale"])

    def role(self, job: Job, wildcard: str) -> str:
        """The registry entry of a job's encoder or scorer."""
        return self.config.scale(job.wildcards["scale"]).models[job.wildcards[wildcard]]

    def counted(self, kind: str, name: str) -> dict[str, int]:
        """FLOPs and sizes of a generator or judge; Unknown if they were never counted."""
        if name not in self.numbers.flops[kind]:
            raise Unknown(name)
        return self.numbers.flops[kind][name]

    def samples(self, job: Job) -> float:
        """Images, or clips, of a job."""
        return job.images / self.sampling(job).get("num_frames", 1)

    # ---- steps

    def _sample_images(self, job: Job) -> Work:
        name, sampling = self.generator(job), self.sampling(job)
        one, samples = self.counted("generators", name), self.samples(job)
        branches = 2 if sampling["guidance_scale"] > 1 else 1
        passes = samples * sampling["num_inference_steps"] * branches
        flops = passes * one["denoiser"] + job.images * one["decode"] + samples * branches * one["text"]
        return Work(f"{name} {sampling['num_inference_steps']} {branches}", name, {SAMPLING: flops})

    def _judge(self, job: Job, entry: str) -> Work:
        """Encoding or scoring the images of a part, a text with each."""
        samples = job.images / self.frames(job)
        flops = samples * self.judging(entry, with_text=True)
        reading = job.images * self.megapixels(job) * self.numbers.seconds("read_megapixel")
        return Work(entry, "", {JUDGING: flops}, samples * self.numbers.wait(entry), reading)

    def judging(self, entry: str, *, with_text: bool = False) -> float:
        """FLOPs of a judge on one sample; nothing for what is no network on the GPU."""
        if self.config.models.data[entry].get("class") in ("OCR", "NudeNet", "ImageStatistics"):
            return 0.0
        one = self.counted("judges", entry)
        return one["image"] + with_text * one["text"]

    def _encode_latents(self, job: Job) -> Work:
        name = self.generator(job)
        one = self.counted("generators", name)
        flops = job.images * one["encode"] + self.samples(job) * one["text"]
        reading = job.images * self.megapixels(job) * self.numbers.seconds("read_megapixel")
        return Work(f"latents of {name}", name, {JUDGING: flops}, 0.0, reading)

    def _train(self, job: Job) -> Work:
        """SFT, or Diffusion-DPO, whose frozen reference passes forward once more."""
        run, name = self._run(job), self.generator(job)
        one, training = self.counted("generators", name), run["training"]
        forwards = training["gradient_checkpointing"] + (run["objective"] == "dpo")
        per_sample = self._trained(one, name, training["scope"]) + forwards * one["denoiser"]
        subject = f"{run['objective']} of {name}, {training['scope']}"
        return Work(subject, name, {TRAINING: self.samples(job) * per_sample})

    def _trained(self, one: dict[str, int], name: str, scope: str) -> int:
        """Forward and backward pass of one sample."""
        if f"trained_{scope}" not in one:
            raise Unknown(f"{name} with scope {scope}")
        return one[f"trained_{scope}"]

    def _train_grpo(self, job: Job) -> Work:
        """Rollouts of all epochs, judges of them, and the updates of the generator's own epochs."""
        run, name = self._run(job), self.generator(job)
        grpo, one = run["grpo"], self.counted("generators", name)
        branches = 2 if grpo["guidance_scale"] > 1 else 1
        updated = grpo["generator_epochs"] * grpo["groups_per_epoch"] * grpo["group_size"]
        rolled = job.images * (grpo["sampling_steps"] * branches * one["denoiser"] + one["decode"])
        rolled += job.images / grpo["group_size"] * one["text"]
        recomputed = run["training"]["gradient_checkpointing"] + bool(grpo["kl_weight"])
        step = self._trained(one, name, run["training"]["scope"]) + recomputed * one["denoiser"]
        judges = list(self._judges(run, job))
        flops = {
            SAMPLING: rolled,
            TRAINING: updated * grpo["window_width"] * branches * step,
            JUDGING: updated * sum(map(self.judging, judges)) + self._learning(run, job, updated),
        }
        waiting = updated * sum(map(self.numbers.wait, judges))
        return Work(f"{name} under {', '.join(judges)}, {run['discriminator']}", name, flops, waiting)

    def _judges(self, run: dict, job: Job) -> Iterator[str]:
        """Registry entries of the scorers that reward or watch, each once."""
        models = self.config.scale(job.wildcards["scale"]).models
        named = dict.fromkeys(models[role] for role in (*run["rewards"], *run["watch"]) if role in models)
        yield from named

    def _learning(self, run: dict, job: Job, updated: float) -> float:
        """FLOPs of a discriminator: it judges each image, and sees it and a reference in every step of its own."""
        if not run["discriminator"]:
            return 0.0
        scale = job.wildcards["scale"]
        recipe = self.config.discriminator(run["discriminator"], scale)
        steps = recipe["steps_per_generator_epoch"] or 1
        triggered = recipe["schedule"] == "trigger"  # it judges the references, too
        seen = updated * (1 + triggered + 2 * steps)
        return seen * self.judging(self.config.scale(scale).models[recipe["model"]])

    def _evaluate_vbench(self, job: Job) -> Work:
        return Work("VBench", seconds=job.images * self.numbers.seconds("vbench_frame"))

    def _run(self, job: Job) -> dict:
        return self.config.run(parse_policy(job.wildcards["policy"]).name, job.wildcards["scale"])

    # ---- shapes of images

    def shape(self, job: Job) -> list[int]:
        """Frames, height and width of the images that a job reads or draws."""
        collection = job.wildcards.get("collection", "")
        if collection.startswith("images/"):
            sizes = [int(size) for size in collection.rsplit(".", 1)[1].split("x")]
            return [1] * (3 - len(sizes)) + sizes
        policy = collection.split("/")[1] if collection else job.wildcards["policy"]
        sampling = self.config.sampling(policy, job.wildcards["scale"])
        return [sampling.get("num_frames", 1), sampling["height"], sampling["width"]]

    def frames(self, job: Job) -> int:
        """Frames of a clip, 1 of an image."""
        return self.shape(job)[0]

    def megapixels(self, job: Job) -> float:
        """Millions of pixels of an image or frame."""
        _, height, width = self.shape(job)
        return height * width / 1e6
