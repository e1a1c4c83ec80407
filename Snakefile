"""Tables and figures of GAN-RM (arXiv 2506.13846) and Adv-GRPO (arXiv 2511.20256), from prompts to verdicts.

snakemake                     tiny scale: everything on a laptop's CPU, under results/tiny/
snakemake ganrm               one paper; `advgrpo` is the other
snakemake ganrm_tab1          one table (`snakemake --list-target-rules` names them all)

snakemake --profile profiles/gpu ganrm_tab1                         pilot scale: the papers' models on one GPU, under results/pilot/
snakemake --profile profiles/gpu ganrm_tab1 --config scale=paper    paper scale, under results/; add -n for the plan alone
snakemake --profile profiles/slurm ganrm_tab1                       the same on a cluster
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "rules/common.smk"  # checks the whole configuration
include: "rules/resources.smk"
include: "rules/downloads.smk"
include: "rules/data.smk"
include: "rules/sampling.smk"
include: "rules/features.smk"
include: "rules/rewards.smk"
include: "rules/training.smk"
include: "rules/metrics.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/user_study.smk"
include: "rules/zoo.smk"
include: "rules/targets.smk"  # one target for each paper, table and figure


wildcard_constraints:
    scale="|tiny/|pilot/",
    policy=POLICY,
    prompt_set=NAME,
    collection=rf"images/{NAME}\.\d+x\d+(?:x\d+)?|samples/{POLICY}/{NAME}",
    selection=SELECTION,
    study=NAME,
    reward=NAME,
    dataset=NAME,
    part=r"\d+",
    candidates=r"\d+",
    pairs=r"\d+",


rule all:
    """Everything at the chosen scale (config key `scale`): all tables and figures."""
    default_target: True
    input:
        everything_of(),
        validities(),
        ledger(),


rule directions:
    """Whether each claim comes out in the paper's direction, over all replicates (three at tiny scale)."""
    input:
        direction_summaries,


rule validity:
    """Whether each reward is right: held-out AUC, and agreement with other judges of the same samples."""
    input:
        validities(),


rule assumptions:
    """Every number of the chosen scale: quoted from the paper, assumed for a reason, or changed by the scale."""
    input:
        ledger(),


rule tiny_zoo:
    """Train the tiny zoo again from nothing (hours of CPU), under results/zoo/; the shipped one stays as it is."""
    input:
        expand("results/zoo/{model}/measured.json", model=ZOO),
