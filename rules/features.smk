"""What is computed once per image: features of frozen encoders, scores under the prompt."""


def encoder_options(wildcards):
    scale = CONFIG.scale(wildcards.scale)
    encoder = registry_name(wildcards.encoder, wildcards.scale)
    return options({"encoder": encoder, "batch_size": scale.counts["features_batch_size"], **hardware(wildcards.scale)})


def scorer_options(wildcards):
    scale = CONFIG.scale(wildcards.scale)
    scorer = registry_name(wildcards.scorer, wildcards.scale)
    return options({"scorer": scorer, "batch_size": scale.counts["scores_batch_size"], **hardware(wildcards.scale)})


def identity_of_encoder(wildcards):
    return model_identity(registry_name(wildcards.encoder, wildcards.scale))


def identity_of_scorer(wildcards):
    return model_identity(registry_name(wildcards.scorer, wildcards.scale))


rule encode_images:
    """Features of one part by a frozen encoder: GAN-RM's CLIP tokens, the extractor of the Fréchet distance."""
    input:
        "results/{scale}{collection}/part{part}.json",
    output:
        "results/{scale}features/{encoder}/{collection}/part{part}.safetensors",
    log:
        "results/{scale}logs/encode_images/{encoder}/{collection}/part{part}.log",
    benchmark:
        "results/{scale}benchmarks/encode_images/{encoder}/{collection}/part{part}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("encode_images"),
    params:
        options=encoder_options,
        source=identity_of_encoder,
        code=code_of("encode_images"),
    shell:
        "python -m workflow_scripts.encode_images {params.options:q} --images {input:q} --out {output:q} > {log:q} 2>&1"


def references_of_scorer(wildcards):
    """Clips that a scorer compares with, shaped as those it scores; most scorers compare with none."""
    metrics = CONFIG.scale(wildcards.scale).metrics.values()
    roles = {about["reference"] for about in metrics if about.get("role") == wildcards.scorer and "reference" in about}
    policy = wildcards.collection.split("/")[1]
    return [
        path for role in sorted(roles) for path in images_of(wildcards.scale, imported(wildcards.scale, role, policy))
    ]


rule score_images:
    """Scores of one part: CLIPScore, PickScore, HPS, ImageReward, OCR, GenEval, similarities, the tiny world's truth."""
    input:
        images="results/{scale}{collection}/part{part}.json",
        references=references_of_scorer,
    output:
        "results/{scale}scores/{scorer}/{collection}/part{part}.parquet",
    log:
        "results/{scale}logs/score_images/{scorer}/{collection}/part{part}.log",
    benchmark:
        "results/{scale}benchmarks/score_images/{scorer}/{collection}/part{part}.jsonl"
    conda:
        "../envs/diffusion.yaml"
    resources:
        **resources_of("score_images"),
    params:
        options=scorer_options,
        references=given("references"),
        source=identity_of_scorer,
        code=code_of("score_images"),
    shell:
        "python -m workflow_scripts.score_images {params.options:q} --images {input.images:q} {params.references:q} "
        "--out {output:q} > {log:q} 2>&1"
