"""Figures: ranks, curves, the pipeline, and grids of images or clips."""


localrules:
    plot_ranks,
    plot_curves,
    draw_pipeline,
    make_sheet,
    animate_sheet,


FRAMES_PER_SECOND = 4  # at which clips of a figure run


def names_of(kind):
    """Wildcard pattern of the figures of one kind."""
    return "|".join(CONFIG.figures_of(kind)) or "none"


def policies_of_curves(wildcards):
    """Policy files, with histories beside, of the runs of a figure that the scale has."""
    rows = CONFIG.table_rows(wildcards.figure, wildcards.scale)
    policies = dict.fromkeys(row.policy for row in rows if not row.skipped)
    return [path for policy in policies for path in policy_file(wildcards.scale, policy)]


def run_drawn(wildcards):
    return CONFIG.figure(wildcards.figure).run


def identity_of_figure(wildcards):
    return sheet_identity(wildcards.scale, wildcards.figure)


def columns_of_grid(wildcards):
    """Of each column of an image grid that the scale has: its block, its row, its image files and its file of rewards."""
    scale = wildcards.scale
    for block in CONFIG.figure(wildcards.figure).blocks:
        prompt_set = block.prompt_set(CONFIG.scale(scale))
        for row in CONFIG.columns_shown(block, scale):
            images = images_of(scale, f"samples/{row.policy}/{prompt_set}")
            yield block, row, images, rewards_by(scale, row.selection, row.policy, prompt_set)


def images_of_grid(wildcards):
    return [path for _, _, images, _ in columns_of_grid(wildcards) for path in images]


def rewards_of_grid(wildcards):
    return [path for *_, rewards in columns_of_grid(wildcards) for path in rewards]


def grid_options(wildcards):
    words = []
    for block, row, images, rewards in columns_of_grid(wildcards):
        words += ["--column", block.base, block.show, row.row.row, row.selection, *(rewards or ["-"]), *images]
    blur = CONFIG.settings.get("blur_sheets", True) and CONFIG.figure(wildcards.figure).blur
    return words + options({"blur": blur or None})


def animation_options(wildcards):
    return grid_options(wildcards) + options({"fps": FRAMES_PER_SECOND})


rule plot_ranks:
    """Metrics against the rank that a reward gives (Fig. 2 of GAN-RM)."""
    input:
        metrics_of,
    output:
        "results/{scale}figures/{figure}.pdf",
        report(
            "results/{scale}figures/{figure}.png",
            caption="../docs/captions/ranks.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{scale}logs/plot_ranks/{figure}.log",
    wildcard_constraints:
        figure=names_of(RankFigure),
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        figure=identity_of_figure,
        code=code_of("plot_ranks"),
    shell:
        "python -m workflow_scripts.plot_ranks --figure {wildcards.figure:q} --scale {params.scale:q} --metrics "
        "{input:q} --out {output:q} > {log:q} 2>&1"


rule plot_curves:
    """Rewards and ground truth over the steps of training (Fig. 17 of Adv-GRPO)."""
    input:
        policies_of_curves,
    output:
        "results/{scale}figures/{figure}.pdf",
        report(
            "results/{scale}figures/{figure}.png",
            caption="../docs/captions/curves.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{scale}logs/plot_curves/{figure}.log",
    wildcard_constraints:
        figure=names_of(Curves),
    conda:
        "../envs/analysis.yaml"
    params:
        figure=identity_of_figure,
        code=code_of("plot_curves"),
    shell:
        "python -m workflow_scripts.plot_curves --figure {wildcards.figure:q} --policies {input:q} --out {output:q} "
        "> {log:q} 2>&1"


rule draw_pipeline:
    """The steps of a round, drawn from the graph of these rules (Fig. 1 of GAN-RM)."""
    input:
        "Snakefile",
        sorted(Path("rules").glob("*.smk")),
    output:
        "results/{scale}figures/{figure}.pdf",
        report(
            "results/{scale}figures/{figure}.png",
            caption="../docs/captions/pipeline.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{scale}logs/draw_pipeline/{figure}.log",
    wildcard_constraints:
        figure=names_of(Diagram),
    conda:
        "../envs/analysis.yaml"
    params:
        run=run_drawn,
        code=code_of("draw_pipeline"),
    shell:
        "python -m workflow_scripts.draw_pipeline --target "
        "results/{wildcards.scale:q}policies/{params.run:q}.r1/policy.json --next-round "
        "results/{wildcards.scale:q}policies/{params.run:q}.r2/policy.json --out {output:q} > {log:q} 2>&1"


rule make_sheet:
    """Images of several policies for the same prompts and seeds."""
    input:
        images=images_of_grid,
        rewards=rewards_of_grid,
    output:
        "results/{scale}figures/{figure}.pdf",
        report(
            "results/{scale}figures/{figure}.png",
            caption="../docs/captions/sheet.rst",
            category="Images",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/{scale}logs/make_sheet/{figure}.log",
    wildcard_constraints:
        figure=names_of(ImageGrid),
    conda:
        "../envs/analysis.yaml"
    params:
        options=grid_options,
        code=code_of("make_sheet"),
    shell:
        "python -m workflow_scripts.make_sheet {params.options:q} --out {output:q} > {log:q} 2>&1"


use rule make_sheet as animate_sheet with:
    output:
        "results/{scale}figures/{figure}.gif",
    log:
        "results/{scale}logs/animate_sheet/{figure}.log",
    params:
        options=animation_options,
