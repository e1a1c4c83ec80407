"""Names and helpers of the rules: which files a step reads, and with which options it runs."""

import os
import sys
from functools import cache
from math import ceil
from pathlib import Path

from workflow_scripts.lib.downloads import downloads_of_data, downloads_of_model, with_parts
from workflow_scripts.lib.head_processes import enter
from workflow_scripts.lib.jobs import ONLY_LOOKS
from workflow_scripts.lib.models import identity
from workflow_scripts.lib.provenance import code_of, fingerprint
from workflow_scripts.lib.spec import Curves, Diagram, ImageGrid, RankFigure, WinRates, load_config, parse_policy
from workflow_scripts.lib.spec.policies import NAME, POLICY, SELECTION, Policy
from workflow_scripts.lib.spec.scales import prefix_of

CONFIG = load_config(settings=config)
SCALE = prefix_of(CONFIG.settings["scale"])

os.environ.setdefault("WORKFLOW_SNAKEMAKE", sys.executable)  # a job in a conda environment has no snakemake of its own
if "HF_HOME" in os.environ:  # the hub's cache of this user or site
    os.environ.setdefault("HF_HUB_CACHE", f"{os.environ['HF_HOME']}/hub")
os.environ.setdefault("HF_HUB_CACHE", CONFIG.settings["models_folder"])
if CONFIG.scale(SCALE).warm_start:  # jobs of seconds share one process that has torch and diffusers imported
    os.environ.setdefault("WORKFLOW_WARM_START", str(os.getpid()))
if workflow.is_main_process and not workflow.output_settings.dryrun and ONLY_LOOKS not in os.environ:  # it makes things
    HEAD = enter(Path(".snakemake"))  # open for as long as this process lives


# ---- collections of images and what is computed from each of their parts


def prompts_per_part(scale, policy, prompt_set):
    """Whole prompts of one sampling job; a clip counts as its frames."""
    counts = CONFIG.scale(scale).counts
    images = counts["images_per_shard"] * counts["shards_per_job"] // frames_per_sample(scale, policy)
    return max(1, images // CONFIG.samples_per_prompt(policy, prompt_set, scale))


def frames_per_sample(scale, policy):
    """Frames of a clip of the policy; 1 for an image."""
    return CONFIG.sampling(policy, scale).get("num_frames", 1)


def parts_of(scale, collection):
    """Numbers of a collection's parts."""
    kind, *names = collection.split("/")
    if kind == "images":
        return [0]
    policy, prompt_set = names
    return range(ceil(CONFIG.scale(scale).prompts[prompt_set] / prompts_per_part(scale, policy, prompt_set)))


def images_of(scale, collection):
    """Part files of a collection."""
    return [f"results/{scale}{collection}/part{part}.json" for part in parts_of(scale, collection)]


def features_of(scale, encoder, collection):
    """Features files of a collection, one per part."""
    parts = parts_of(scale, collection)
    return [f"results/{scale}features/{encoder}/{collection}/part{part}.safetensors" for part in parts]


def scores_of(scale, scorer, collection):
    """Score files of a collection, one per part."""
    parts = parts_of(scale, collection)
    return [f"results/{scale}scores/{scorer}/{collection}/part{part}.parquet" for part in parts]


def rewards_by(scale, selection, policy, prompt_set):
    """The file of rewards that a selection goes by; nothing for first samples."""
    reward, ranked, _ = selection.partition(".")
    return [f"results/{scale}rewards/{reward}/{policy}/{prompt_set}.parquet"] if ranked else []


def samples_of(wildcards):
    """Collection of a policy's samples of a prompt set."""
    return f"samples/{wildcards.policy}/{wildcards.prompt_set}"


def images_of_samples(wildcards):
    return images_of(wildcards.scale, samples_of(wildcards))


def imported(scale, role, policy):
    """Collection of a role's images or clips: as a model sampled them, or in the shape of those of the policy's model."""
    references = CONFIG.scale(scale).references.get(role)
    if references and references.model:
        return f"samples/{references.model}/{references.prompts}"
    sampling = CONFIG.sampling(policy, scale)
    sizes = [sampling[name] for name in ("num_frames", "height", "width") if sampling.get(name)]
    return f"images/{role}.{'x'.join(map(str, sizes))}"


def registry_name(role, scale):
    """The registry entry that plays a model role."""
    return CONFIG.scale(scale).models[role]


# ---- policies


def policy_file(scale, policy):
    """The file of a trained policy; nothing for a model as it comes."""
    trained = parse_policy(str(policy)).round is not None
    return [f"results/{scale}policies/{policy}/policy.json"] if trained else []


def model_of(scale, policy):
    """The pipeline that a policy's weights belong to."""
    return registry_name(CONFIG.base_model(policy, scale), scale)


def run_of(wildcards):
    """Hyperparameters of the run that a policy is a round of."""
    return CONFIG.run(parse_policy(wildcards.policy).name, wildcards.scale)


def discriminator_of(wildcards):
    """Hyperparameters of the discriminator that learns along with a run; none for a run without."""
    name = run_of(wildcards)["discriminator"]
    return CONFIG.discriminator(name, wildcards.scale) if name else {}


def runs_with(objective):
    """Wildcard pattern of the rounds of all runs with an objective."""
    names = [name for name in CONFIG.recipes["run"].concrete() if CONFIG.run(name, "tiny")["objective"] == objective]
    return rf"(?:{'|'.join(names) or 'none'})(?:@\d+)?\.r\d+"


def rewards_of(*kinds):
    """Wildcard pattern of all rewards of these kinds."""
    names = [name for name in CONFIG.recipes["reward"].concrete() if CONFIG.reward(name, "tiny")["kind"] in kinds]
    return "|".join(names) or "none"


def sampling_seed(scale, policy, prompt_set):
    """Evaluation noise is the same for every policy of a replicate; each round of training has its own."""
    policy = parse_policy(policy)
    stream = f"{prompt_set}.r{policy.round or 0}" if CONFIG.trains_on(prompt_set, scale) else prompt_set
    return {"seed": policy.replicate, "stream": stream}


def training_seed(policy):
    """Each round of each replicate has its own, and so have the latents of the samples that it starts from."""
    policy = parse_policy(policy)
    return 1000 * policy.replicate + (policy.round or 0)


# ---- what is fetched from outside: its record has to be there, its age says nothing


def weights_of(*names):
    """Records of the downloads of registered models and their parts; none for models that lie in a folder."""
    entries = dict.fromkeys(entry for name in names for entry in fetched_for(name))
    return [ancient(f"results/downloads/models/{entry}.json") for entry in entries]


@cache
def fetched_for(model):
    """Registry entries of a model and its parts that have something to download."""
    return [entry for entry in with_parts(CONFIG, model) if downloads_of("models", entry)]


@cache
def data_of(name):
    """The record of the download of a registered data set; none for what lies in a folder or is rendered."""
    return [ancient(f"results/downloads/data/{name}.json")] if downloads_of("data", name) else []


def downloads_of(kind, entry):
    """What is downloaded for an entry of `models` or `data`."""
    if kind == "models":
        return downloads_of_model(CONFIG.model_entry(entry))
    return downloads_of_data(CONFIG.data_entry(entry), Path(CONFIG.settings["data_folder"]))


# ---- what a step is made from besides its files and options: edits of registries and tables reach what depends on them


@cache
def model_identity(name):
    """Sources and checksums of a registered model, and of the pipeline that it changes."""
    entry = CONFIG.model_entry(name)
    names = [name, entry["base"]] if "base" in entry else [name]
    return fingerprint(**{one: identity(CONFIG.model_entry(one)) for one in names})


@cache
def dataset_identity(name):
    """All of a registered data set but what is said about it."""
    about = ("title", "license", "gated", "size_gb")
    return fingerprint(**{key: value for key, value in CONFIG.data_entry(name).items() if key not in about})


def sheet_identity(scale, name):
    """All that a table or figure says, and the metrics of a scale."""
    sheet = (CONFIG.tables | CONFIG.figures)[name]
    return fingerprint(sheet=sheet.document.data, metrics=CONFIG.scale(scale).metrics)


# ---- options of command lines


def options(values):
    """`{"batch_size": 8, "fused": True, "epochs": None}` -> ["--batch-size", "8", "--fused"]."""
    words = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(v) for v in _listed(value)])
    return words


def given(*names):
    """Optional inputs of a job as options, `--start FILE`.

    Snakemake does not record params that depend on the input. So settings, whose change is to make a file again, stand in
    params of their own.
    """
    return lambda wildcards, input: options({name: input.get(name) or None for name in names})


def scale_name(wildcards):
    return CONFIG.scale(wildcards.scale).name


def _listed(value):
    return value if isinstance(value, (list, tuple)) else [value]


def hardware(scale):
    """Where and in which number format a model runs forward."""
    return {"device": CONFIG.scale(scale).device, "dtype": CONFIG.scale(scale).dtype}
