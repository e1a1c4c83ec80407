"""Models and data from outside: fetched where the command runs, each once, before the jobs that need them."""

from workflow_scripts.lib.downloads import check_downloads, entry_of
from workflow_scripts.lib.metrics.vbench_weights import SECTION, absent_weights

FETCHING = {"fetch_model": "models", "fetch_data": "data"}


localrules:
    fetch_model,
    fetch_data,


def check_access():
    """Before anything runs, see that all can be had that this call needs: terms, revisions, room on the disk."""
    jobs = list(workflow.dag.needrun_jobs())
    fetches = [job for job in jobs if job.rule.name in FETCHING]
    downloads = [one for job in fetches for one in downloads_of(FETCHING[job.rule.name], job.wildcards.entry)]
    problems = [*lost_files(jobs, fetches), *lacking_for_vbench(jobs)]
    check_downloads(downloads, [Path(os.environ["HF_HUB_CACHE"]), Path(CONFIG.settings["data_folder"])], problems)


def lost_files(jobs, fetches):
    """Records that jobs rely on while the files are gone, as after a cleaning of the cache."""
    made = {path for job in fetches for path in job.output}
    records = {path for job in jobs for path in job.input if path.startswith("results/downloads/")} - made
    lost = [path for path in sorted(records) if not all(one.present() for one in downloads_of(*entry_of(path)))]
    command = f"HF_HUB_OFFLINE=0 snakemake --force {' '.join(lost)}"
    return [f"files that were fetched are no longer here; get them with: {command}"] * bool(lost)


def lacking_for_vbench(jobs):
    folders = {vbench_weights(job.wildcards) for job in jobs if job.rule.name == "evaluate_vbench"}
    return [f"{folder} lacks weights, see {SECTION}" for folder in sorted(folders) if absent_weights(folder)]


onstart:
    check_access()


def identity_of_model_entry(wildcards):
    return model_identity(wildcards.entry)


def identity_of_data_entry(wildcards):
    return dataset_identity(wildcards.entry)


rule fetch_model:
    """Files of a registered model, from the hub or a url; what is on this machine already is used and checked."""
    output:
        update("results/downloads/models/{entry}.json"),  # it says which commit a branch was
    log:
        "results/downloads/logs/models/{entry}.log",
    wildcard_constraints:
        entry=NAME,
    conda:
        "../envs/diffusion.yaml"
    params:
        source=identity_of_model_entry,  # and no code: what was fetched stays, and so does what was made with it
    shell:
        "python -m workflow_scripts.fetch_model --model {wildcards.entry:q} --out {output:q} > {log:q} 2>&1"


rule fetch_data:
    """Files of a registered data set, from the hub or urls; what is on this machine already is used and checked."""
    output:
        update("results/downloads/data/{entry}.json"),
    log:
        "results/downloads/logs/data/{entry}.log",
    wildcard_constraints:
        entry=NAME,
    conda:
        "../envs/diffusion.yaml"
    params:
        source=identity_of_data_entry,
    shell:
        "python -m workflow_scripts.fetch_data --dataset {wildcards.entry:q} --out {output:q} > {log:q} 2>&1"
