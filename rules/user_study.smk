"""User studies: a page for people, their votes, and what automatic scorers say of the same images."""

from workflow_scripts.lib.spec.studies import planned_sides, studies_at
from workflow_scripts.lib.study.page import template_identity
from workflow_scripts.lib.study.votes import vote_files


localrules:
    make_user_study,
    proxy_win_rate,
    analyse_votes,
    plot_win_rates,


def samples_of_study(wildcards, side):
    """The collection of A or B, and the file of rewards that it is selected by, if it is."""
    prompts = CONFIG.study(wildcards.study).prompts
    row = planned_sides(CONFIG, wildcards.study, wildcards.scale)["ab".index(side)]
    return f"samples/{row.policy}/{prompts}", rewards_by(wildcards.scale, row.selection, row.policy, prompts)


def images_of_a(wildcards):
    return images_of(wildcards.scale, samples_of_study(wildcards, "a")[0])


def images_of_b(wildcards):
    return images_of(wildcards.scale, samples_of_study(wildcards, "b")[0])


def rewards_of_study(wildcards):
    return [path for side in "ab" for path in samples_of_study(wildcards, side)[1]]


def study_options(wildcards):
    rewards = {f"rewards_{side}": samples_of_study(wildcards, side)[1] or None for side in "ab"}
    return options({"study": wildcards.study, "scale": scale_name(wildcards), **rewards})


def identity_of_study(wildcards):
    return fingerprint(study=CONFIG.study(wildcards.study).document.data, page=template_identity())


def scorers_of_study(wildcards):
    """Metrics that judge images on the study's prompts."""
    prompts, metrics = CONFIG.study(wildcards.study).prompts, CONFIG.scale(wildcards.scale).metrics.values()
    means = (about for about in metrics if (about["kind"], about["prompts"]) == ("mean_score", prompts))
    return [about for about in means if about.get("judges", True)]


def scores_of_study(wildcards, side):
    """(metric, score file) of every scorer and part of A or B."""
    collection = samples_of_study(wildcards, side)[0]
    return [
        (about, path)
        for about in scorers_of_study(wildcards)
        for path in scores_of(wildcards.scale, about["role"], collection)
    ]


def score_files_of_study(wildcards):
    return sorted({path for side in "ab" for _, path in scores_of_study(wildcards, side)})


def proxy_options(wildcards):
    titled = {
        side: [f"{about['title']}:{about['column']}={path}" for about, path in scores_of_study(wildcards, side)]
        for side in "ab"
    }
    return options({**titled, "resamples": CONFIG.scale(wildcards.scale).counts["bootstrap_resamples"]})


def votes_of_study(wildcards):
    """Exports of raters; an error that says where to put them when there are none."""
    return vote_files([f"resources/votes/{wildcards.scale}{wildcards.study}"])


def studies_shown(wildcards):
    """Studies of a figure that the scale has."""
    there = studies_at(CONFIG, wildcards.scale)
    return [name for name in CONFIG.figure(wildcards.figure).studies if name in there]


def win_rates_shown(wildcards):
    """For each study the votes if people have voted, else the stand-in."""
    known = {name: "votes" if has_votes(wildcards.scale, name) else "proxy" for name in studies_shown(wildcards)}
    return [f"results/{wildcards.scale}studies/{name}.{source}.csv" for name, source in known.items()]


rule make_user_study:
    """The page of blinded pairs that raters get, and the key to it, which they must not get."""
    input:
        a=images_of_a,
        b=images_of_b,
        rewards=rewards_of_study,
    output:
        page=report(
            "results/{scale}studies/{study}.html",
            caption="../docs/captions/study.rst",
            category="User studies",
            labels={"study": "{study}", "what": "page for raters"},
        ),
        key="results/{scale}studies/{study}.key.json",
    log:
        "results/{scale}logs/make_user_study/{study}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        options=study_options,
        identity=identity_of_study,
        code=code_of("make_user_study"),
    shell:
        "python -m workflow_scripts.make_user_study {params.options:q} --a {input.a:q} --b {input.b:q} "
        "--out {output.page:q} --key {output.key:q} > {log:q} 2>&1"


rule proxy_win_rate:
    """How often automatic scorers prefer B to A on a study's prompts: a stand-in, not people's votes."""
    input:
        key="results/{scale}studies/{study}.key.json",
        scores=score_files_of_study,
    output:
        csv=report(
            "results/{scale}studies/{study}.proxy.csv",
            caption="../docs/captions/proxy.rst",
            category="User studies",
            labels={"study": "{study}", "what": "automatic stand-in"},
        ),
        md="results/{scale}studies/{study}.proxy.md",
    log:
        "results/{scale}logs/proxy_win_rate/{study}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        options=proxy_options,
        code=code_of("proxy_win_rate"),
    shell:
        "python -m workflow_scripts.proxy_win_rate --key {input.key:q} {params.options:q} --out {output:q} "
        "> {log:q} 2>&1"


rule analyse_votes:
    """Win rates from the votes that people have sent, with intervals over raters and prompts."""
    input:
        key="results/{scale}studies/{study}.key.json",
        votes=votes_of_study,
    output:
        csv=report(
            "results/{scale}studies/{study}.votes.csv",
            caption="../docs/captions/votes.rst",
            category="User studies",
            labels={"study": "{study}", "what": "people's votes"},
        ),
        md="results/{scale}studies/{study}.votes.md",
    log:
        "results/{scale}logs/analyse_votes/{study}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_of("analyse_votes"),
    shell:
        "python -m workflow_scripts.analyse_votes --key {input.key:q} --votes {input.votes:q} --out {output:q} "
        "> {log:q} 2>&1"


rule plot_win_rates:
    """Bars of win rates (Figs. 2, 4, 6 and 10 of Adv-GRPO): people's votes, or the stand-in where nobody has voted."""
    input:
        win_rates_shown,
    output:
        "results/{scale}figures/{figure}.pdf",
        report(
            "results/{scale}figures/{figure}.png",
            caption="../docs/captions/win_rates.rst",
            category="User studies",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{scale}logs/plot_win_rates/{figure}.log",
    wildcard_constraints:
        figure=names_of(WinRates),
    conda:
        "../envs/analysis.yaml"
    params:
        studies=studies_shown,
        figure=identity_of_figure,
        code=code_of("plot_win_rates"),
    shell:
        "python -m workflow_scripts.plot_win_rates --studies {params.studies:q} --win-rates {input:q} --out {output:q} "
        "> {log:q} 2>&1"
