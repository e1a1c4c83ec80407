"""The tiny zoo: small models of the true classes, trained from the tiny world alone.

The trained zoo is shipped under resources/zoo; these rules make it again under results/zoo, beside it.
"""

from workflow_scripts.lib.zoo.plan import ZOO


def zoo_starts_from(wildcards):
    return [f"results/zoo/{model}/measured.json" for model in ZOO[wildcards.model][0]]


def zoo_options(wildcards):
    _, steps, batch = ZOO[wildcards.model]
    return options({"steps": steps or None, "batch": batch or None})


rule train_zoo:
    """Train one model of the tiny zoo."""
    input:
        zoo_starts_from,
    output:
        "results/zoo/{model}/measured.json",
    log:
        "results/zoo/logs/{model}.log",
    benchmark:
        "results/zoo/benchmarks/{model}.jsonl"
    wildcard_constraints:
        model="|".join(ZOO),
    conda:
        "../envs/diffusion.yaml"
    resources:
        mem_mb=3_000,
        runtime=240,
    params:
        options=zoo_options,
        code=code_of("train_zoo"),
    shell:
        "python -m workflow_scripts.train_zoo --model {wildcards.model:q} --zoo results/zoo {params.options:q} "
        "> {log:q} 2>&1"
