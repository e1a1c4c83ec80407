"""Sample images from a policy: one part of a prompt set, shard by shard, each image from its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.cli import add_hardware, parser, run
from workflow_scripts.lib.locks import sole_writer


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of `sample_images`."""
    args = _parser().parse_args(argv)

    import torch

    from workflow_scripts.lib.diffusion.acceleration import compile_blocks
    from workflow_scripts.lib.diffusion.pipelines import denoiser_of, load_pipeline
    from workflow_scripts.lib.diffusion.sampling import SamplingSettings, requests_for, sample_part
    from workflow_scripts.lib.files import read_json
    from workflow_scripts.lib.provenance import code_of, fingerprint
    from workflow_scripts.lib.spec import load_config
    from workflow_scripts.lib.tables import read_table

    config = load_config()
    how = {name: getattr(args, name) for name in ("scheduler", "fps", "max_sequence_length", "prompt_suffix")}
    entry = config.pipeline(args.model) | {"sampling": how}
    size = (args.height, args.width)
    settings = SamplingSettings(
        args.num_inference_steps, args.guidance_scale, *size, args.eta, args.num_frames, args.prompt_suffix
    )
    prompts = read_table(args.prompts).iloc[args.first_prompt : args.first_prompt + args.num_prompts]
    requests = requests_for(prompts, args.samples_per_prompt, args.seed, args.stream)
    images = args.images_per_shard // (args.num_frames or 1)
    per_shard = max(1, images // args.samples_per_prompt) * args.samples_per_prompt
    shards = [requests[start : start + per_shard] for start in range(0, len(requests), per_shard)]
    made_of = fingerprint(
        model=entry,
        policy=read_json(args.policy) if args.policy else None,
        settings=settings.call_arguments(),
        requests=[(r.prompt_id, r.prompt, r.k, r.seed) for r in requests],
        per_shard=per_shard,
        dtype=args.dtype,
        compile=args.compile,
        code=code_of("sample_images"),
    )
    print(
        f"{len(prompts)} prompts x {args.samples_per_prompt} = {len(requests)} images in {len(shards)} shard(s)",
        flush=True,
    )
    pipeline = load_pipeline(entry, config.pipelines(), args.policy, args.device, getattr(torch, args.dtype))
    if args.compile:
        compile_blocks(denoiser_of(pipeline))
    with sole_writer(args.out):
        sample_part(pipeline, shards, settings, args.batch_size, args.out, made_of)


def _parser():
    options = parser(__doc__)
    add = options.add_argument
    add("--model", required=True, help="pipeline in config/models.yaml")
    add("--policy", type=Path, help="policy file (policy.json) whose denoiser replaces the model's own")
    add("--prompts", type=Path, required=True, help="prompt set (.parquet)")
    add("--first-prompt", type=int, default=0, help="row of the part's first prompt")
    add("--num-prompts", type=int, required=True, help="prompts of the part")
    add("--samples-per-prompt", type=int, required=True, help="images of each prompt")
    add("--seed", type=int, default=0, help="replicate")
    add("--stream", required=True, help="what the images are for; other streams have other noise")
    add("--scheduler", required=True, help="a diffusers scheduler class")
    add("--num-inference-steps", type=int, required=True, help="denoising steps")
    add("--guidance-scale", type=float, required=True, help="classifier-free guidance; 1 is none")
    add("--height", type=int, required=True, help="pixels")
    add("--width", type=int, required=True, help="pixels")
    add("--eta", type=float, default=0.0, help="DDIM's noise")
    add("--num-frames", type=int, help="frames of a clip, where the model makes clips")
    add("--fps", type=int, help="frame rate that the model is conditioned on, where it is on any")
    add("--prompt-suffix", default="", help="what is added to every prompt")
    add("--max-sequence-length", type=int, help="tokens of SD3's T5 text encoder")
    add("--batch-size", type=int, default=8, help="images drawn at once; a clip counts as its frames")
    add("--images-per-shard", type=int, default=1000, help="a shard holds whole prompts; a clip counts as its frames")
    add_hardware(options)
    add("--compile", action="store_true", help="compile the denoiser's repeated blocks first")
    add("--out", type=Path, required=True, help="part file (.json)")
    return options


if __name__ == "__main__":
    run(main, warm=True)
