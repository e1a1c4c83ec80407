"""Models and data from outside: fetched where the command runs, each once, before the jobs that need them."""

from workflow_scripts.lib.downloads import check_downloads
from workflow_scripts.lib.metrics.vbench_weights import SECTION, absent_weights

NEEDING = ("fetch_model", "fetch_data", "evaluate_vbench")


localrules:
    fetch_model,
    fetch_data,


def check_access():
    """Before anything runs, see that all can be had that this call needs: terms, revisions, room on the disk."""
    jobs = {rule: [job for job in workflow.dag.needrun_jobs() if job.rule.name == rule] for rule in NEEDING}
    downloads = [one for rule in NEEDING[:2] for job in jobs[rule] for one in downloads_of(rule, job.wildcards.entry)]
    folders = {vbench_weights(job.wildcards) for job in jobs["evaluate_vbench"]}
    lacking = [f"{folder} lacks weights, see {SECTION}" for folder in folders if absent_weights(folder)]
    check_downloads(downloads, [Path(os.environ["HF_HUB_CACHE"]), Path(CONFIG.settings["data_folder"])], lacking)


onstart:
    check_access()


def identity_of_model_entry(wildcards):
    return model_identity(wildcards.entry)


def identity_of_data_entry(wildcards):
    return dataset_identity(wildcards.entry)


rule fetch_model:
    """Files of a registered model, from the hub or a url; what is on this machine already is used and checked."""
    output:
        "results/downloads/models/{entry}.json",
    log:
        "results/downloads/logs/models/{entry}.log",
    wildcard_constraints:
        entry=NAME,
    conda:
        "../envs/diffusion.yaml"
    params:
        source=identity_of_model_entry,
        code=code_of("fetch_model"),
    shell:
        "python -m workflow_scripts.fetch_model --model {wildcards.entry} --out {output} > {log} 2>&1"


rule fetch_data:
    """Files of a registered data set, from the hub or urls; what is on this machine already is used and checked."""
    output:
        "results/downloads/data/{entry}.json",
    log:
        "results/downloads/logs/data/{entry}.log",
    wildcard_constraints:
        entry=NAME,
    conda:
        "../envs/diffusion.yaml"
    params:
        source=identity_of_data_entry,
        code=code_of("fetch_data"),
    shell:
        "python -m workflow_scripts.fetch_data --dataset {wildcards.entry} --out {output} > {log} 2>&1"
