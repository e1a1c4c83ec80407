"""Post-training: examples encoded once, then SFT or Diffusion-DPO, round by round."""


def images_of_selection(wildcards):
    return images_of(wildcards.scale, f"samples/{wildcards.policy}/{wildcards.prompt_set}")


def model_of_policy(wildcards):
    return model_of(wildcards.scale, wildcards.policy)


def images_of_role(wildcards):
    return images_of(wildcards.scale, imported(wildcards.scale, wildcards.dataset, wildcards.policy))


def selection_options(wildcards, input):
    policy = parse_policy(wildcards.policy)
    seed = 1000 * policy.replicate + (policy.round or 0)
    return options({"selection": input.selection, "latents": CONFIG.scale(wildcards.scale).latents, "seed": seed})


def encoding_options(wildcards):
    return options(
        {"batch_size": CONFIG.scale(wildcards.scale).counts["sampling_batch_size"], **hardware(wildcards.scale)}
    )


def examples_of_round(wildcards):
    """Images of the round: of a data role, or selected from the samples of the policy it starts from."""
    run = CONFIG.run(parse_policy(wildcards.policy).name, wildcards.scale)
    if run["data"] != "selection":
        return f"results/{wildcards.scale}latents/images/{run['model']}/{run['data']}.safetensors"
    previous = CONFIG.previous(wildcards.policy, wildcards.scale)
    chosen = f"{run['prompts']}.k{run['candidates']}x{run['pairs']}"
    return f"results/{wildcards.scale}latents/{run['reward']}/{previous}/{chosen}.safetensors"


def previous_round(wildcards):
    return policy_file(wildcards.scale, CONFIG.previous(wildcards.policy, wildcards.scale))


def training_options(wildcards, input):
    policy = parse_policy(wildcards.policy)
    hyperparameters = CONFIG.run(policy.name, wildcards.scale)["training"]
    start = {"model": model_of(wildcards.scale, policy), "start": input.start or None}
    return options({**start, **hyperparameters, "seed": 1000 * policy.replicate + policy.round})


rule encode_latents:
    """Latents of the selected images and embeddings of their prompts, once for every run that trains on them."""
    input:
        images=images_of_selection,
        selection="results/{scale}selections/{reward}/{policy}/{prompt_set}.k{candidates}x{pairs}.parquet",
    output:
        "results/{scale}latents/{reward}/{policy}/{prompt_set}.k{candidates}x{pairs}.safetensors",
    log:
        "results/{scale}logs/encode_latents/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.log",
    benchmark:
        "results/{scale}benchmarks/encode_latents/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("encode_latents"),
    params:
        model=model_of_policy,
        source=identity_of_model,
        selection=selection_options,
        options=encoding_options,
        code=code_of("encode_latents"),
    shell:
        "python -m workflow_scripts.encode_latents --model {params.model} --images {input.images} {params.selection:q} "
        "{params.options:q} --out {output} > {log} 2>&1"


rule encode_given_images:
    """Latents of the images of a data role and embeddings of their captions, for runs that train on given images."""
    input:
        images_of_role,
    output:
        "results/{scale}latents/images/{policy}/{dataset}.safetensors",
    log:
        "results/{scale}logs/encode_latents/images.{policy}.{dataset}.log",
    benchmark:
        "results/{scale}benchmarks/encode_latents/images.{policy}.{dataset}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("encode_latents"),
    params:
        model=model_of_policy,
        source=identity_of_model,
        options=encoding_options,
        code=code_of("encode_latents"),
    shell:
        "python -m workflow_scripts.encode_latents --model {params.model} --images {input} {params.options:q} "
        "--out {output} > {log} 2>&1"


rule train_sft:
    """Fine-tune on the best images (arXiv 2506.13846, Sec. 3.3); interrupted, it continues from its state."""
    input:
        examples=examples_of_round,
        start=previous_round,
    output:
        "results/{scale}policies/{policy}/policy.json",
    log:
        "results/{scale}logs/train_sft/{policy}.log",
    benchmark:
        "results/{scale}benchmarks/train_sft/{policy}.jsonl"
    wildcard_constraints:
        policy=runs_with("sft"),
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("train_sft"),
    params:
        options=training_options,
        source=identity_of_model,
        code=code_of("train_sft"),
    shell:
        "python -m workflow_scripts.train_sft --examples {input.examples} {params.options:q} "
        "--out {output} > {log} 2>&1"


rule train_dpo:
    """Diffusion-DPO on best and worst images; round t starts from t-1; interrupted, it continues from its state."""
    input:
        examples=examples_of_round,
        start=previous_round,
    output:
        "results/{scale}policies/{policy}/policy.json",
    log:
        "results/{scale}logs/train_dpo/{policy}.log",
    benchmark:
        "results/{scale}benchmarks/train_dpo/{policy}.jsonl"
    wildcard_constraints:
        policy=runs_with("dpo"),
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("train_dpo"),
    params:
        options=training_options,
        source=identity_of_model,
        code=code_of("train_dpo"),
    shell:
        "python -m workflow_scripts.train_dpo --examples {input.examples} {params.options:q} "
        "--out {output} > {log} 2>&1"
