"""Images from policies."""


def policy_sampled(wildcards):
    return policy_file(wildcards.scale, wildcards.policy)


def sampling_options(wildcards):
    scale, policy, prompt_set = wildcards.scale, wildcards.policy, wildcards.prompt_set
    counts, size = CONFIG.scale(scale).counts, prompts_per_part(scale, policy, prompt_set)
    first = int(wildcards.part) * size
    sampling = CONFIG.sampling(policy, scale)
    own_format = {"dtype": sampling["dtype"]} if "dtype" in sampling else {}
    return options(
        {
            "model": model_of(scale, policy),
            "first_prompt": first,
            "num_prompts": min(size, CONFIG.scale(scale).prompts[prompt_set] - first),
            "samples_per_prompt": CONFIG.samples_per_prompt(policy, prompt_set, scale),
            **sampling_seed(scale, policy, prompt_set),
            **sampling,
            "batch_size": counts["sampling_batch_size"],
            "images_per_shard": counts["images_per_shard"],
            **hardware(scale),
            **own_format,
            "compile": CONFIG.scale(scale).compile,
        }
    )


def identity_of_model(wildcards):
    return model_identity(model_of(wildcards.scale, wildcards.policy))


def weights_of_model(wildcards):
    return weights_of(model_of(wildcards.scale, wildcards.policy))


rule sample_images:
    """Sample one part of a prompt set from a policy, shard by shard; a killed job keeps its finished shards."""
    input:
        prompts="results/{scale}prompts/{prompt_set}.parquet",
        policy=policy_sampled,
        weights=weights_of_model,
    output:
        "results/{scale}samples/{policy}/{prompt_set}/part{part}.json",
    log:
        "results/{scale}logs/sample_images/{policy}.{prompt_set}.part{part}.log",
    benchmark:
        "results/{scale}benchmarks/sample_images/{policy}.{prompt_set}.part{part}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    threads: threads_of("sample_images")
    resources:
        **resources_of("sample_images"),
    params:
        options=sampling_options,
        policy=given("policy"),
        source=identity_of_model,
        code=code_of("sample_images"),
    shell:
        "python -m workflow_scripts.sample_images --prompts {input.prompts:q} {params.policy:q} {params.options:q} "
        "--out {output:q} > {log:q} 2>&1"
