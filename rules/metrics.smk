"""One metrics file per policy and selection: every table that quotes it agrees with the others."""


def metrics_of_kind(wildcards, kind):
    """Metrics of the scale and prompt set that are of one kind, name -> what config says of it."""
    metrics = CONFIG.scale(wildcards.scale).metrics.items()
    return {name: about for name, about in metrics if (about["kind"], about["prompts"]) == (kind, wildcards.prompt_set)}


def frechet_of(wildcards, kernel):
    """The Fréchet metric whose features a kernel distance shares."""
    distances = metrics_of_kind(wildcards, "frechet_distance").items()
    return next(
        name
        for name, about in distances
        if (about["role"], about["reference"]) == (kernel["role"], kernel["reference"])
    )


def score_files(wildcards):
    roles = {about["role"] for about in metrics_of_kind(wildcards, "mean_score").values()}
    return [path for role in sorted(roles) for path in scores_of(wildcards.scale, role, samples_of(wildcards))]


def feature_files(wildcards):
    distances = metrics_of_kind(wildcards, "frechet_distance").values()
    return [path for about in distances for path in features_of(wildcards.scale, about["role"], samples_of(wildcards))]


def features_of_reference(wildcards, about):
    """Features of the images that a Fréchet metric compares with."""
    return features_of(wildcards.scale, about["role"], imported(wildcards.scale, about["reference"], wildcards.policy))


def reference_files(wildcards):
    distances = metrics_of_kind(wildcards, "frechet_distance").values()
    return [path for about in distances for path in features_of_reference(wildcards, about)]


def vbench_files(wildcards):
    """Scores of the clips by VBench's dimensions, for each metric that is its total."""
    totals = metrics_of_kind(wildcards, "vbench")
    return [f"results/{wildcards.scale}vbench/{wildcards.policy}/{name}.parquet" for name in totals]


def rewards_of_selection(wildcards):
    return rewards_by(wildcards.scale, wildcards.selection, wildcards.policy, wildcards.prompt_set)


def metric_options(wildcards):
    scale, collection = wildcards.scale, samples_of(wildcards)
    means, distances = (metrics_of_kind(wildcards, kind) for kind in ("mean_score", "frechet_distance"))
    counts, kernels = CONFIG.scale(scale).counts, metrics_of_kind(wildcards, "kernel_distance")
    return options(
        {
            "scores": [
                f"{name}:{'+'.join(about.get('tasks', [about['column']]))}={path}"
                for name, about in means.items()
                for path in scores_of(scale, about["role"], collection)
            ]
            or None,
            "features": [
                f"{name}={path}"
                for name, about in distances.items()
                for path in features_of(scale, about["role"], collection)
            ]
            or None,
            "selection_file": rewards_of_selection(wildcards) or None,
            "reference_features": [
                f"{name}={path}"
                for name, about in distances.items()
                for path in features_of_reference(wildcards, about)
            ]
            or None,
            "kernel": [f"{name}={frechet_of(wildcards, about)}" for name, about in kernels.items()] or None,
            "vbench": [f"{Path(path).stem}={path}" for path in vbench_files(wildcards)] or None,
            "resamples": counts["bootstrap_resamples"],
            "minimum_images": max(
                [about.get("minimum_images", counts["minimum_images_for_fid"]) for about in distances.values()],
                default=counts["minimum_images_for_fid"],
            ),
        }
    )


rule compute_metrics:
    """Every metric of a policy on a prompt set under a selection, with its bootstrap over prompts."""
    input:
        images=images_of_samples,
        scores=score_files,
        features=feature_files,
        references=reference_files,
        rewards=rewards_of_selection,
        vbench=vbench_files,
    output:
        "results/{scale}metrics/{policy}/{prompt_set}/{selection}.json",
        "results/{scale}metrics/{policy}/{prompt_set}/{selection}.bootstrap.parquet",
    log:
        "results/{scale}logs/compute_metrics/{policy}.{prompt_set}.{selection}.log",
    benchmark:
        "results/{scale}benchmarks/compute_metrics/{policy}.{prompt_set}.{selection}.jsonl"
    conda:
        "../envs/analysis.yaml"
    resources:
        **resources_of("compute_metrics"),
    params:
        options=metric_options,
        code=code_of("compute_metrics"),
    shell:
        "python -m workflow_scripts.compute_metrics --policy {wildcards.policy:q} --selection {wildcards.selection:q} "
        "--images {input.images:q} {params.options:q} --out {output[0]:q} > {log:q} 2>&1"


def vbench_metric(wildcards):
    return CONFIG.scale(wildcards.scale).metrics[wildcards.metric]


def vbench_clips(wildcards):
    return images_of(wildcards.scale, f"samples/{wildcards.policy}/{vbench_metric(wildcards)['prompts']}")


def vbench_flickering_clips(wildcards):
    return images_of(wildcards.scale, f"samples/{wildcards.policy}/{vbench_metric(wildcards)['flickering']}")


def vbench_folder(wildcards):
    """Folder of VBench's list of prompts, within which its weights lie."""
    prompts = vbench_metric(wildcards)["prompts"]
    source = CONFIG.data_entry(CONFIG.scale(wildcards.scale).prompt_source(prompts))
    return Path(CONFIG.settings["data_folder"]) / source["folder"]


def vbench_weights(wildcards):
    return vbench_folder(wildcards) / "weights"


def vbench_options(wildcards):
    scale, prompts = CONFIG.scale(wildcards.scale), vbench_metric(wildcards)["prompts"]
    listed = CONFIG.data_entry(scale.prompt_source(prompts))["annotations"][prompts]
    return options(
        {
            "full_info": vbench_folder(wildcards) / listed,
            "weights": vbench_weights(wildcards),
            "fps": scale.counts["vbench_fps"],
            "device": scale.device,
        }
    )


def data_of_vbench(wildcards):
    return data_of(CONFIG.scale(wildcards.scale).prompt_source(vbench_metric(wildcards)["prompts"]))


rule evaluate_vbench:
    """VBench's sixteen dimensions of a policy by its own package, which needs an environment of its own."""
    input:
        clips=vbench_clips,
        flickering=vbench_flickering_clips,
        fetched=data_of_vbench,
    output:
        scores="results/{scale}vbench/{policy}/{metric}.json",
        clips="results/{scale}vbench/{policy}/{metric}.parquet",
    log:
        "results/{scale}logs/evaluate_vbench/{policy}.{metric}.log",
    benchmark:
        "results/{scale}benchmarks/evaluate_vbench/{policy}.{metric}.jsonl"
    wildcard_constraints:
        metric=NAME,
    conda:
        "../envs/vbench.yaml"
    resources:
        **resources_of("evaluate_vbench"),
    params:
        python=CONFIG.settings.get("vbench_python", "python"),
        options=vbench_options,
        code=code_of("evaluate_vbench"),
    shell:
        "{params.python:q} -m workflow_scripts.evaluate_vbench --clips {input.clips:q} --flickering "
        "{input.flickering:q} {params.options:q} --clip-scores {output.clips:q} --out {output.scores:q} "
        "> {log:q} 2>&1"


def judge_options(wildcards):
    means, collection = metrics_of_kind(wildcards, "mean_score").values(), samples_of(wildcards)
    judges = [
        f"{about['column']}={path}" for about in means for path in scores_of(wildcards.scale, about["role"], collection)
    ]
    resamples = CONFIG.scale(wildcards.scale).counts["bootstrap_resamples"]
    return options({"judges": judges, "num_proxies": reward_of(wildcards).get("num_proxies"), "resamples": resamples})


def history_of_head(wildcards):
    return [beside_head(wildcards, "history.json")] if reward_of(wildcards)["kind"] in HEADS else []


def features_of_training_images(wildcards):
    return features_of_proxies(wildcards) if reward_of(wildcards)["kind"] in HEADS else []


def features_of_what_proxies_cover(wildcards):
    """The references, as the encoder of a head sees them."""
    recipe = reward_of(wildcards)
    if recipe["kind"] not in HEADS:
        return []
    return features_of(wildcards.scale, recipe["encoder"], imported(wildcards.scale, "references", wildcards.policy))


rule validate_reward:
    """Held-out accuracy of a reward, coverage of its proxies, what it varies with, agreement with the other judges."""
    input:
        rewards="results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet",
        history=history_of_head,
        proxies=features_of_training_images,
        references=features_of_what_proxies_cover,
        judges=score_files,
    output:
        "results/{scale}validity/{reward}.{policy}.{prompt_set}.csv",
    log:
        "results/{scale}logs/validate_reward/{reward}.{policy}.{prompt_set}.log",
    benchmark:
        "results/{scale}benchmarks/validate_reward/{reward}.{policy}.{prompt_set}.jsonl"
    conda:
        "../envs/analysis.yaml"
    resources:
        **resources_of("compute_metrics"),
    params:
        head=given("history", "proxies", "references"),
        options=judge_options,
        code=code_of("validate_reward"),
    shell:
        "python -m workflow_scripts.validate_reward --rewards {input.rewards:q} {params.head:q} {params.options:q} "
        "--out {output:q} > {log:q} 2>&1"
