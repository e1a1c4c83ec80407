"""What a job of each verb needs at each scale. Sites, partitions and GPU types are the business of profiles/."""

# verb -> (memory in MB, minutes) at paper scale; pilot takes the same memory and a quarter of the time. The minutes of
# what runs or trains a generator are those for images of 512 x 512 pixels; larger images take as much longer.
GPU_JOBS = {
    "sample_images": (32_000, 120),
    "encode_images": (24_000, 30),
    "score_images": (32_000, 45),
    "encode_latents": (48_000, 90),
    "train_sft": (64_000, 240),
    "train_dpo": (64_000, 360),
}
CPU_JOBS = {
    "make_prompts": (8_000, 20),
    "import_images": (8_000, 60),
    "train_reward": (16_000, 60),
    "score_rewards": (16_000, 30),
    "select_samples": (8_000, 15),
    "compute_metrics": (16_000, 60),
}
TINY = (1_500, 15)
GENERATOR_JOBS = ("sample_images", "encode_latents", "train_sft", "train_dpo")


def size_factor(verb, wildcards):
    """How many times 512 x 512 pixels the images of a job's generator have, at least 1."""
    if verb not in GENERATOR_JOBS:
        return 1
    sampling = CONFIG.model(CONFIG.base_model(wildcards.policy, wildcards.scale), wildcards.scale)["sampling"]
    return max(1, sampling["height"] * sampling["width"] // 512**2)


def resources_of(verb):
    """Memory and time of a job of this verb, growing with each attempt, and a GPU where the scale's device is cuda."""
    memory, minutes = (GPU_JOBS | CPU_JOBS)[verb]

    def needs(wildcards, attempt):
        return {"tiny/": TINY, "pilot/": (memory, minutes // 4)}.get(wildcards.scale, (memory, minutes)), attempt

    def mem_mb(wildcards, attempt):
        (megabytes, _), attempt = needs(wildcards, attempt)
        return megabytes * attempt

    def runtime(wildcards, attempt):
        (_, minutes), attempt = needs(wildcards, attempt)
        return minutes * size_factor(verb, wildcards) * attempt

    def gpu(wildcards):
        return int(verb in GPU_JOBS and CONFIG.scale(wildcards.scale).device == "cuda")

    return {"mem_mb": mem_mb, "runtime": runtime, "gpu": gpu}
