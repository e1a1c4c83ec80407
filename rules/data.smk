"""Prompts and images that come from outside the models."""


def prompt_options(wildcards):
    scale = CONFIG.scale(wildcards.scale)
    source = scale.prompt_source(wildcards.prompt_set)
    return options({"source": source, "count": scale.prompts[wildcards.prompt_set]})


def dataset_options(wildcards):
    scale, role = CONFIG.scale(wildcards.scale), wildcards.dataset
    count = scale.references[role].per_prompt if role in scale.references else scale.images[role]
    per_shard = scale.counts["images_per_shard"]
    return options(
        {"dataset": scale.data[role], "count": count, "shape": wildcards.shape, "images_per_shard": per_shard}
    )


def prompts_of_dataset(wildcards):
    """The prompt set that a role's images belong to; nothing for images that stand alone."""
    references = CONFIG.scale(wildcards.scale).references.get(wildcards.dataset)
    return [f"results/{wildcards.scale}prompts/{references.prompts}.parquet"] if references else []


def identity_of_prompts(wildcards):
    return dataset_identity(CONFIG.scale(wildcards.scale).prompt_source(wildcards.prompt_set))


def data_of_prompts(wildcards):
    return data_of(CONFIG.scale(wildcards.scale).prompt_source(wildcards.prompt_set))


def identity_of_dataset(wildcards):
    return dataset_identity(CONFIG.scale(wildcards.scale).data[wildcards.dataset])


def data_of_role(wildcards):
    return data_of(CONFIG.scale(wildcards.scale).data[wildcards.dataset])


rule make_prompts:
    """Draw a prompt set from its source."""
    input:
        fetched=data_of_prompts,
    output:
        "results/{scale}prompts/{prompt_set}.parquet",
    log:
        "results/{scale}logs/make_prompts/{prompt_set}.log",
    benchmark:
        "results/{scale}benchmarks/make_prompts/{prompt_set}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("make_prompts"),
    params:
        options=prompt_options,
        source=identity_of_prompts,
        code=code_of("make_prompts"),
    shell:
        "python -m workflow_scripts.make_prompts --prompt-set {wildcards.prompt_set:q} {params.options:q} "
        "--out {output:q} > {log:q} 2>&1"


rule import_images:
    """Images of a data role into shards, cropped and resized as the generator's; a killed job keeps finished shards."""
    input:
        prompts=prompts_of_dataset,
        fetched=data_of_role,
    output:
        "results/{scale}images/{dataset}.{shape}/part0.json",
    log:
        "results/{scale}logs/import_images/{dataset}.{shape}.log",
    benchmark:
        "results/{scale}benchmarks/import_images/{dataset}.{shape}.jsonl"
    wildcard_constraints:
        shape=r"\d+x\d+(?:x\d+)?",
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("import_images"),
    params:
        options=dataset_options,
        prompts=given("prompts"),
        source=identity_of_dataset,
        code=code_of("import_images"),
    shell:
        "python -m workflow_scripts.import_images {params.options:q} {params.prompts:q} --out {output:q} > {log:q} 2>&1"
