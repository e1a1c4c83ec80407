"""Models and data from outside: fetched where the command runs, each once, before the jobs that need them."""

from workflow_scripts.lib.downloads import check_downloads


localrules:
    fetch_model,
    fetch_data,


def check_access():
    """Before anything runs, see that all can be fetched that this call needs: terms, revisions, room on the disk."""
    needed = [job for job in workflow.dag.needrun_jobs() if job.rule.name in ("fetch_model", "fetch_data")]
    downloads = [one for job in needed for one in downloads_of(job.rule.name, job.wildcards.entry)]
    check_downloads(downloads, [Path(os.environ["HF_HUB_CACHE"]), Path(CONFIG.settings["data_folder"])])


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
