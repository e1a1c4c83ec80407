"""GAN-RM: a head on frozen features that tells proxy images from the generator's own, and what it selects."""


def reward_of(wildcards):
    return CONFIG.reward(wildcards.reward, wildcards.scale)


def features_of_proxies(wildcards):
    recipe = reward_of(wildcards)
    return features_of(wildcards.scale, recipe["encoder"], imported(wildcards.scale, recipe["data"], wildcards.policy))


def negatives(wildcards):
    """Collection whose first samples are the reward's negatives."""
    return f"samples/{wildcards.policy}/{reward_of(wildcards)['negatives']}"


def features_of_negatives(wildcards):
    return features_of(wildcards.scale, reward_of(wildcards)["encoder"], negatives(wildcards))


def images_of_negatives(wildcards):
    return images_of(wildcards.scale, negatives(wildcards))


def pool(wildcards):
    """Collection whose first samples get pseudo-labels."""
    return f"samples/{wildcards.policy}/{reward_of(wildcards)['pool']}"


def features_of_pool(wildcards):
    recipe = reward_of(wildcards)
    bootstraps = recipe["variant"] == "bootstrap"
    return features_of(wildcards.scale, recipe["encoder"], pool(wildcards)) if bootstraps else []


def images_of_pool(wildcards):
    return images_of(wildcards.scale, pool(wildcards)) if reward_of(wildcards)["variant"] == "bootstrap" else []


def reward_options(wildcards):
    recipe = reward_of(wildcards)
    bootstrap = {
        "bootstrap_positives": recipe["bootstrap"]["num_positives"],
        "bootstrap_negatives": recipe["bootstrap"]["num_negatives"],
        "alpha": recipe["bootstrap"]["alpha"],
    }
    plain = {
        name: recipe[name] for name in ("num_proxies", "num_negatives", "variant", "loss", "checkpoints", "dropout")
    }
    return options({**plain, **bootstrap, **recipe["optimizer"], "seed": parse_policy(wildcards.policy).replicate})


def features_to_score(wildcards):
    encoder = reward_of(wildcards)["encoder"]
    return features_of(wildcards.scale, encoder, f"samples/{wildcards.policy}/{wildcards.prompt_set}")


def images_to_score(wildcards):
    return images_of(wildcards.scale, f"samples/{wildcards.policy}/{wildcards.prompt_set}")


rule train_reward:
    """Train R_t on proxy images and images by G_(t-1), from cached features (arXiv 2506.13846, Sec. 3.2)."""
    input:
        proxies=features_of_proxies,
        negatives=features_of_negatives,
        negative_images=images_of_negatives,
        pool=features_of_pool,
        pool_images=images_of_pool,
    output:
        head="results/{scale}rewards/{reward}/{policy}/head.safetensors",
        history="results/{scale}rewards/{reward}/{policy}/history.json",
    log:
        "results/{scale}logs/train_reward/{reward}.{policy}.log",
    benchmark:
        "results/{scale}benchmarks/train_reward/{reward}.{policy}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("train_reward"),
    params:
        options=reward_options,
        pool=lambda wildcards, input: options({"pool": input.pool or None, "pool_images": input.pool_images or None}),
        code=code_of("train_reward"),
    shell:
        "python -m workflow_scripts.train_reward --proxies {input.proxies} --negatives {input.negatives} "
        "--negative-images {input.negative_images} {params.pool:q} {params.options:q} --out {output.head} "
        "--history {output.history} > {log} 2>&1"


rule score_rewards:
    """Rewards of all images of a prompt set, from cached features."""
    input:
        head="results/{scale}rewards/{reward}/{policy}/head.safetensors",
        features=features_to_score,
        images=images_to_score,
    output:
        "results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet",
    log:
        "results/{scale}logs/score_rewards/{reward}.{policy}.{prompt_set}.log",
    benchmark:
        "results/{scale}benchmarks/score_rewards/{reward}.{policy}.{prompt_set}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("score_rewards"),
    params:
        code=code_of("score_rewards"),
    shell:
        "python -m workflow_scripts.score_rewards --head {input.head} --features {input.features} "
        "--images {input.images} --out {output} > {log} 2>&1"


rule select_samples:
    """The i-th best and the i-th worst of the first K samples of each prompt, for every i up to the number of pairs."""
    input:
        rewards="results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet",
        prompts="results/{scale}prompts/{prompt_set}.parquet",
    output:
        "results/{scale}selections/{reward}/{policy}/{prompt_set}.k{candidates}x{pairs}.parquet",
    log:
        "results/{scale}logs/select_samples/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.log",
    benchmark:
        "results/{scale}benchmarks/select_samples/{reward}.{policy}.{prompt_set}.k{candidates}x{pairs}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("select_samples"),
    params:
        code=code_of("select_samples"),
    shell:
        "python -m workflow_scripts.select_samples --rewards {input.rewards} --prompts {input.prompts} "
        "--candidates {wildcards.candidates} --pairs {wildcards.pairs} --out {output} > {log} 2>&1"
