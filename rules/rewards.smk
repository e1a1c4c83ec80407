"""Rewards: GAN-RM's head on frozen features, what it is compared with, and what they select."""

from workflow_scripts.lib.rewards.settings import KINDS as HEADS  # a reward of another kind has no head


def reward_of(wildcards):
    return CONFIG.reward(wildcards.reward, wildcards.scale)


def features_of_proxies(wildcards):
    recipe, scale = reward_of(wildcards), wildcards.scale
    if recipe["data"] in CONFIG.scale(scale).images:
        return features_of(scale, recipe["encoder"], imported(scale, recipe["data"], wildcards.policy))
    return features_of(
        scale, recipe["encoder"], f"samples/{CONFIG.base_model(wildcards.policy, scale)}/{recipe['data']}"
    )


def negatives(wildcards):
    """Collection whose first samples are the reward's negatives; none for a head that sees the proxies alone."""
    recipe = reward_of(wildcards)
    return [f"samples/{wildcards.policy}/{recipe['negatives']}"] if "negatives" in recipe else []


def pool(wildcards):
    """Collection whose first samples get pseudo-labels, where there are any."""
    recipe = reward_of(wildcards)
    return [f"samples/{wildcards.policy}/{recipe['pool']}"] if recipe.get("variant") == "bootstrap" else []


def features_of_negatives(wildcards):
    encoder = reward_of(wildcards)["encoder"]
    return [path for one in negatives(wildcards) for path in features_of(wildcards.scale, encoder, one)]


def images_of_negatives(wildcards):
    return [path for one in negatives(wildcards) for path in images_of(wildcards.scale, one)]


def features_of_pool(wildcards):
    encoder = reward_of(wildcards)["encoder"]
    return [path for one in pool(wildcards) for path in features_of(wildcards.scale, encoder, one)]


def images_of_pool(wildcards):
    return [path for one in pool(wildcards) for path in images_of(wildcards.scale, one)]


def reward_options(wildcards):
    recipe = reward_of(wildcards)
    names = ("kind", "num_proxies", "num_negatives", "variant", "loss", "checkpoints", "dropout")
    bootstrap = recipe.get("bootstrap", {})
    return options(
        {
            **{name: recipe[name] for name in names if name in recipe},
            "bootstrap_positives": bootstrap.get("num_positives"),
            "bootstrap_negatives": bootstrap.get("num_negatives"),
            "alpha": bootstrap.get("alpha"),
            **recipe.get("optimizer", {}),
            "seed": parse_policy(wildcards.policy).replicate,
        }
    )


def beside_head(wildcards, name):
    """A file of the head that ranks a policy's samples: trained against that policy, or kept from the base model."""
    policy = parse_policy(wildcards.policy)
    if reward_of(wildcards).get("generator") == "base":
        policy = Policy(CONFIG.base_model(policy, wildcards.scale), policy.replicate)
    return f"results/{wildcards.scale}rewards/{wildcards.reward}/{policy}/{name}"


def head_to_score_by(wildcards):
    return beside_head(wildcards, "head.safetensors")


def features_to_score(wildcards):
    return features_of(wildcards.scale, reward_of(wildcards)["encoder"], samples_of(wildcards))


def given_rewards(wildcards):
    """What a reward without a head is read from: a scorer's scores, or the images that numbers are drawn for."""
    recipe = reward_of(wildcards)
    if recipe["kind"] == "scorer":
        return scores_of(wildcards.scale, recipe["scorer"], samples_of(wildcards))
    return images_of_samples(wildcards)


def assigning_options(wildcards):
    recipe, read = reward_of(wildcards), given_rewards(wildcards)
    if recipe["kind"] == "scorer":
        return options({"scores": read, "column": recipe["column"]})
    return options({"random": read})


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
    wildcard_constraints:
        reward=rewards_of(*HEADS),
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("train_reward"),
    params:
        options=reward_options,
        pool=given("pool", "pool_images"),
        code=code_of("train_reward"),
    shell:
        "python -m workflow_scripts.train_reward --proxies {input.proxies:q} --negatives {input.negatives:q} "
        "--negative-images {input.negative_images:q} {params.pool:q} {params.options:q} --out {output.head:q} "
        "--history {output.history:q} > {log:q} 2>&1"


rule score_rewards:
    """Rewards of all images of a prompt set, from cached features."""
    input:
        head=head_to_score_by,
        features=features_to_score,
        images=images_of_samples,
    output:
        "results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet",
    log:
        "results/{scale}logs/score_rewards/{reward}.{policy}.{prompt_set}.log",
    benchmark:
        "results/{scale}benchmarks/score_rewards/{reward}.{policy}.{prompt_set}.jsonl"
    wildcard_constraints:
        reward=rewards_of(*HEADS),
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("score_rewards"),
    params:
        code=code_of("score_rewards"),
    shell:
        "python -m workflow_scripts.score_rewards --head {input.head:q} --features {input.features:q} "
        "--images {input.images:q} --out {output:q} > {log:q} 2>&1"


rule assign_rewards:
    """Rewards of all images of a prompt set without a head: a scorer's, or random numbers."""
    input:
        given_rewards,
    output:
        "results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet",
    log:
        "results/{scale}logs/assign_rewards/{reward}.{policy}.{prompt_set}.log",
    benchmark:
        "results/{scale}benchmarks/assign_rewards/{reward}.{policy}.{prompt_set}.jsonl"
    wildcard_constraints:
        reward=rewards_of("scorer", "random"),
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("score_rewards"),
    params:
        options=assigning_options,
        code=code_of("assign_rewards"),
    shell:
        "python -m workflow_scripts.assign_rewards {params.options:q} --out {output:q} > {log:q} 2>&1"


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
        "python -m workflow_scripts.select_samples --rewards {input.rewards:q} --prompts {input.prompts:q} "
        "--candidates {wildcards.candidates:q} --pairs {wildcards.pairs:q} --out {output:q} > {log:q} 2>&1"
