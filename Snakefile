"""Tables and figures of GAN-RM (arXiv 2506.13846), from prompts to verdicts.

snakemake                          tiny scale: everything in minutes on a laptop's CPU, under results/tiny/
snakemake ganrm_tab1               one table (`snakemake --list-target-rules` names them all)
snakemake --config scale=pilot     the paper's models on one GPU, under results/pilot/
snakemake -n results/tables/ganrm_tab1.csv   what paper scale would run
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "rules/common.smk"  # checks the whole configuration
include: "rules/resources.smk"
include: "rules/data.smk"
include: "rules/sampling.smk"
include: "rules/features.smk"
include: "rules/rewards.smk"
include: "rules/training.smk"
include: "rules/metrics.smk"
include: "rules/results.smk"
include: "rules/zoo.smk"


wildcard_constraints:
    scale="|tiny/|pilot/",
    policy=POLICY,
    prompt_set=NAME,
    collection=rf"images/{NAME}\.\d+x\d+|samples/{POLICY}/{NAME}",
    selection=SELECTION,
    reward=NAME,
    model=NAME,
    dataset=NAME,
    shape=r"\d+x\d+",
    part=r"\d+",
    candidates=r"\d+",
    pairs=r"\d+",


rule all:
    """Everything at the chosen scale (config key `scale`): all tables and figures, with their sheets of images."""
    default_target: True
    input:
        tables(TABLES),
        figures(FIGURES),
        sheets(TABLES),
        validities(),


rule ganrm_tab1:
    """GAN-RM Tab. 1: image quality of base, DiffusionDPO, RM@10, SFT and DPO."""
    input:
        tables(["ganrm_tab1"]),
        sheets(["ganrm_tab1"]),


rule ganrm_tab2:
    """GAN-RM Tab. 2: inappropriate images, and what their avoidance costs, for base, RM@10 and DPO."""
    input:
        tables(["ganrm_tab2"]),
        sheets(["ganrm_tab2"]),


rule ganrm_fig2:
    """GAN-RM Fig. 2: metrics against the rank that GAN-RM gives."""
    input:
        figures(["ganrm_fig2"]),


rule directions:
    """Whether each claim comes out in the paper's direction, over all replicates (three at tiny scale)."""
    input:
        direction_summaries(TABLES),


rule validity:
    """Whether each reward is right: held-out AUC, and agreement with other judges of the same samples."""
    input:
        validities(),


rule tiny_zoo:
    """Train the tiny zoo again from nothing (hours of CPU), under results/zoo/; the shipped one stays as it is."""
    input:
        expand("results/zoo/{model}/measured.json", model=ZOO),
