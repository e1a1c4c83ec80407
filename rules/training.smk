"""Post-training: examples encoded once, then SFT or Diffusion-DPO, round by round; or GRPO on rollouts."""


def model_of_policy(wildcards):
    return model_of(wildcards.scale, wildcards.policy)


def images_of_role(wildcards):
    return images_of(wildcards.scale, imported(wildcards.scale, wildcards.dataset, wildcards.policy))


def encoding_options(wildcards):
    return options(
        {"batch_size": CONFIG.scale(wildcards.scale).counts["sampling_batch_size"], **hardware(wildcards.scale)}
    )


def options_of_selected_images(wildcards):
    latents, seed = CONFIG.scale(wildcards.scale).latents, training_seed(wildcards.policy)
    return options({"latents": latents, "seed": seed}) + encoding_options(wildcards)


def options_of_given_images(wildcards):
    """Images of a data role may be pairs; reference images of a prompt are equals, of which the first is taken."""
    equals = wildcards.dataset in CONFIG.scale(wildcards.scale).references
    return encoding_options(wildcards) + options({"first_only": equals})


def examples_of_round(wildcards):
    """Images of the round: of a data role, or selected from the samples of the policy it starts from."""
    run = run_of(wildcards)
    if run["data"] != "selection":
        return f"results/{wildcards.scale}latents/images/{run['model']}/{run['data']}.safetensors"
    previous = CONFIG.previous(wildcards.policy, wildcards.scale)
    chosen = f"{run['prompts']}.k{run['candidates']}x{run['pairs']}"
    return f"results/{wildcards.scale}latents/{run['reward']}/{previous}/{chosen}.safetensors"


def previous_round(wildcards):
    return policy_file(wildcards.scale, CONFIG.previous(wildcards.policy, wildcards.scale))


def training_options(wildcards):
    hyperparameters, seed = run_of(wildcards)["training"], training_seed(wildcards.policy)
    return options({"model": model_of_policy(wildcards), **hyperparameters, "seed": seed})


def prompts_of_run(wildcards):
    return f"results/{wildcards.scale}prompts/{run_of(wildcards)['prompts']}.parquet"


def references_of_run(wildcards):
    """Part files of the run's reference images; none for a run without references."""
    scale, run = wildcards.scale, run_of(wildcards)
    return images_of(scale, imported(scale, run["references"], run["model"])) if run["references"] else []


def roles_of_judges(wildcards):
    """Model roles of what judges a run's images: scorers that reward, scorers that only watch, the discriminator's."""
    run, learner = run_of(wildcards), discriminator_of(wildcards)
    watching = [role for role in run["watch"] if role in CONFIG.scale(wildcards.scale).models]
    return list(run["rewards"]), watching, [learner["model"]] if learner else []


def models_of_judges(wildcards):
    """Registry names of all that judges."""
    return [registry_name(role, wildcards.scale) for roles in roles_of_judges(wildcards) for role in roles]


def judges_of_run(wildcards):
    """Scorers of the run as NAME=MODEL:WEIGHT, scorers that only watch, and its discriminator, each key an option."""
    scale, learner = wildcards.scale, discriminator_of(wildcards)
    rewards = [f"{role}={registry_name(role, scale)}:{weight}" for role, weight in run_of(wildcards)["rewards"].items()]
    watching = [registry_name(role, scale) for role in roles_of_judges(wildcards)[1]]
    if learner:
        learner["model"] = registry_name(learner["model"], scale)
    named = {f"discriminator_{key}": value for key, value in learner.items()}
    return {"rewards": rewards or None, "watch": watching or None, **named}


def rollout_options(wildcards):
    run, sampling = run_of(wildcards), CONFIG.sampling(wildcards.policy, wildcards.scale)
    return options(
        {
            "model": model_of_policy(wildcards),
            "height": sampling["height"],
            "width": sampling["width"],
            **run["grpo"],
            **run["training"],
            **judges_of_run(wildcards),
            "dtype": CONFIG.scale(wildcards.scale).dtype,
            "seed": training_seed(wildcards.policy),
        }
    )


def identity_of_judges(wildcards):
    return [model_identity(name) for name in models_of_judges(wildcards)]


def weights_of_run(wildcards):
    return weights_of(model_of(wildcards.scale, wildcards.policy), *models_of_judges(wildcards))


rule encode_latents:
    """Latents of images, selected or given, and embeddings of their prompts, once for every run that trains on them."""
    input:
        images=images_of_samples,
        selection="results/{scale}selections/{reward}/{policy}/{prompt_set}.k{candidates}x{pairs}.parquet",
        weights=weights_of_model,
    output:
        "results/{scale}latents/{reward}/{policy}/{prompt_set}.k{candidates}x{pairs}.safetensors",
    log:
        "results/{scale}logs/encode_latents/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.log",
    benchmark:
        "results/{scale}benchmarks/encode_latents/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    threads: threads_of("encode_latents")
    resources:
        **resources_of("encode_latents"),
    params:
        model=model_of_policy,
        source=identity_of_model,
        selection=given("selection"),
        options=options_of_selected_images,
        code=code_of("encode_latents"),
    shell:
        "python -m workflow_scripts.encode_latents --model {params.model:q} --images {input.images:q} "
        "{params.selection:q} {params.options:q} --out {output:q} > {log:q} 2>&1"


use rule encode_latents as encode_given_images with:
    input:
        images=images_of_role,
        weights=weights_of_model,
    output:
        "results/{scale}latents/images/{policy}/{dataset}.safetensors",
    log:
        "results/{scale}logs/encode_latents/images.{policy}.{dataset}.log",
    benchmark:
        "results/{scale}benchmarks/encode_latents/images.{policy}.{dataset}.jsonl"
    params:
        options=options_of_given_images,


rule train_sft:
    """Fine-tune on the best images (arXiv 2506.13846, Sec. 3.3); interrupted, it continues from its state."""
    input:
        examples=examples_of_round,
        start=previous_round,
        weights=weights_of_model,
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
    threads: threads_of("train_sft")
    resources:
        **resources_of("train_sft"),
        launch=launcher,
    params:
        start=given("start"),
        options=training_options,
        source=identity_of_model,
        code=code_of("train_sft"),
    shell:
        "{resources.launch} workflow_scripts.train_sft --examples {input.examples:q} {params.start:q} "
        "{params.options:q} --out {output:q} > {log:q} 2>&1"


rule train_dpo:
    """Diffusion-DPO on best and worst images; round t starts from t-1; interrupted, it continues from its state."""
    input:
        examples=examples_of_round,
        start=previous_round,
        weights=weights_of_model,
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
    threads: threads_of("train_dpo")
    resources:
        **resources_of("train_dpo"),
        launch=launcher,
    params:
        start=given("start"),
        options=training_options,
        source=identity_of_model,
        code=code_of("train_dpo"),
    shell:
        "{resources.launch} workflow_scripts.train_dpo --examples {input.examples:q} {params.start:q} "
        "{params.options:q} --out {output:q} > {log:q} 2>&1"


rule train_grpo:
    """GRPO on rewards, on a discriminator that learns along, or both; interrupted, it continues from its state."""
    input:
        prompts=prompts_of_run,
        references=references_of_run,
        start=previous_round,
        weights=weights_of_run,
    output:
        "results/{scale}policies/{policy}/policy.json",  # and history.parquet, which a finished training keeps
    log:
        "results/{scale}logs/train_grpo/{policy}.log",
    benchmark:
        "results/{scale}benchmarks/train_grpo/{policy}.jsonl"
    wildcard_constraints:
        policy=runs_with("grpo"),
    conda:
        "../envs/diffusion.yaml"
    threads: threads_of("train_grpo")
    resources:
        **resources_of("train_grpo"),
        launch=launcher,
    params:
        given=given("start", "references"),
        options=rollout_options,
        source=identity_of_model,
        judges=identity_of_judges,
        code=code_of("train_grpo"),
    shell:
        "{resources.launch} workflow_scripts.train_grpo --prompts {input.prompts:q} {params.given:q} "
        "{params.options:q} --out {output:q} > {log:q} 2>&1"
