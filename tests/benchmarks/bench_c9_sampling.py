"""C9: our batched sampling against the diffusers pipeline called for one image at a time, with the same noise per seed.

The tiny SD1.5-class model as it is shipped, its steps and guidance as registered; both sides use one torch thread.
"""

from __future__ import annotations

import numpy as np
import torch

from workflow_scripts.lib.diffusion.pipelines import load_pipeline
from workflow_scripts.lib.diffusion.sampling import Request, SamplingSettings, requests_for, sample
from workflow_scripts.lib.spec import load_config

from .common import compare, report

GOAL, LEVELS = 4.5, 1
PROMPTS, SAMPLES = 8, 4


def make_requests() -> list[Request]:
    """Several images of each of some prompts, as a pool to select from."""
    from workflow_scripts.lib.data.prompts import draw_prompts

    prompts = draw_prompts(load_config().data_entry("world_prompts"), "eval", PROMPTS, 0, None)
    return requests_for(prompts, SAMPLES, 0, "eval")


def one_at_a_time(pipeline, requests: list[Request], settings: SamplingSettings) -> np.ndarray:
    """Images (N, H, W, 3) uint8 as the pipeline's documentation makes them."""
    images = [
        pipeline(
            request.prompt,
            generator=torch.Generator().manual_seed(request.seed),
            output_type="np",
            **settings.call_arguments(),
        ).images[0]
        for request in requests
    ]
    return (np.stack(images) * 255).round().astype(np.uint8)


def within_a_level(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return np.abs(ours.astype(int) - theirs).max() <= LEVELS


def main() -> None:
    torch.set_num_threads(1)
    config = load_config()
    entries = config.pipelines()
    about = dict(config.model("sd15", "tiny")["sampling"])
    pipeline = load_pipeline(config.model("sd15", "tiny"), entries, None, "cpu", torch.float32)
    about.pop("scheduler")
    settings, requests = SamplingSettings(**about), make_requests()
    result = compare(
        "pipeline one image at a time / batched",
        lambda: sample(pipeline, requests, settings)[0].numpy(),
        lambda: one_at_a_time(pipeline, requests, settings),
        same=within_a_level,
        goal=GOAL,
        speedup=True,
        rounds=5,
    )
    report("c9_sampling", [result], images=len(requests), steps=settings.num_inference_steps)


if __name__ == "__main__":
    main()
