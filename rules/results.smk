"""Tables, figures, sheets of images and verdicts, all from metrics files."""


localrules:
    make_table,
    plot_ranks,
    make_sheet,
    summarize_directions,


def metrics_files(scale, sheet, replicate=0):
    """Metrics files of a table or figure in one replicate: every row on every prompt set of its columns."""
    return [
        f"results/{scale}metrics/{policy}/{prompt_set}/{selection}.json"
        for policy, selection in CONFIG.table_candidates(sheet, scale, replicate)
        for prompt_set in CONFIG.table_prompt_sets(sheet, scale)
    ]


def metrics_of(wildcards):
    """Metrics files of every row of a table, or of every rank and line of a figure."""
    return metrics_files(wildcards.scale, wildcards.get("table") or wildcards.figure)


def metrics_of_replicates(wildcards):
    replicates = CONFIG.replicates(wildcards.scale)
    return [path for one in replicates for path in metrics_files(wildcards.scale, wildcards.table, one)]


def rows_of_sheet(wildcards):
    """Rows of a table that the scale computes, as (title, policy, selection)."""
    rows = [row for row in CONFIG.table_rows(wildcards.table, wildcards.scale) if not row.skipped]
    several = len({row.row.base for row in rows}) > 1
    return [(f"{row.row.base} {row.row.row}" if several else row.row.row, row.policy, row.selection) for row in rows]


def shown(wildcards, policy):
    """Parts of a policy's images that a sheet shows."""
    return images_of(wildcards.scale, f"samples/{policy}/{CONFIG.table(wildcards.table).sheet_prompts}")


def images_of_sheet(wildcards):
    return [path for _, policy, _ in rows_of_sheet(wildcards) for path in shown(wildcards, policy)]


def rewards_of_sheet(wildcards):
    return [path for _, path in _rewards_of_rows(wildcards)]


def sheet_options(wildcards):
    words, blur = [], CONFIG.settings.get("blur_sheets", True) and CONFIG.table(wildcards.table).sheet_blur
    for title, policy, selection in rows_of_sheet(wildcards):
        words += ["--column", title, selection, *shown(wildcards, policy)]
    rewards = [f"{title}={path}" for title, path in _rewards_of_rows(wildcards)]
    return words + options({"rewards": rewards or None, "blur": blur or None})


def _rewards_of_rows(wildcards):
    prompts = CONFIG.table(wildcards.table).sheet_prompts
    return [
        (title, f"results/{wildcards.scale}rewards/{selection.split('.')[0]}/{policy}/{prompts}.parquet")
        for title, policy, selection in rows_of_sheet(wildcards)
        if "." in selection
    ]


def identity_of_table(wildcards):
    return sheet_identity(wildcards.scale, wildcards.table)


def identity_of_figure(wildcards):
    return sheet_identity(wildcards.scale, wildcards.figure)


def scale_name(wildcards):
    return CONFIG.scale(wildcards.scale).name


rule make_table:
    """A table in long form, Markdown and LaTeX: the paper's number, ours, its interval, N, verdict, run and command."""
    input:
        metrics_of,
    output:
        csv=report(
            "results/{scale}tables/{table}.csv",
            caption="../docs/captions/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        md="results/{scale}tables/{table}.md",
        tex="results/{scale}tables/{table}.tex",
    log:
        "results/{scale}logs/make_table/{table}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        table=identity_of_table,
        code=code_of("make_table"),
    shell:
        "python -m workflow_scripts.make_table --table {wildcards.table} --scale {params.scale} --metrics {input} "
        "--out {output} > {log} 2>&1"


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
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        figure=identity_of_figure,
        code=code_of("plot_ranks"),
    shell:
        "python -m workflow_scripts.plot_ranks --figure {wildcards.figure} --scale {params.scale} --metrics {input} "
        "--out {output} > {log} 2>&1"


rule make_sheet:
    """Images of every row of a table for the same prompts and seeds."""
    input:
        images=images_of_sheet,
        rewards=rewards_of_sheet,
    output:
        report(
            "results/{scale}sheets/{table}.png",
            caption="../docs/captions/sheet.rst",
            category="Images",
            labels={"table": "{table}"},
        ),
    log:
        "results/{scale}logs/make_sheet/{table}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        options=sheet_options,
        code=code_of("make_sheet"),
    shell:
        "python -m workflow_scripts.make_sheet {params.options:q} --out {output} > {log} 2>&1"


rule summarize_directions:
    """For each claim of a table: our difference in every replicate, its interval, and what they say together."""
    input:
        metrics_of_replicates,
    output:
        csv="results/{scale}directions/{table}.csv",
        md="results/{scale}directions/{table}.md",
    log:
        "results/{scale}logs/summarize_directions/{table}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        table=identity_of_table,
        code=code_of("summarize_directions"),
    shell:
        "python -m workflow_scripts.summarize_directions --table {wildcards.table} --scale {params.scale} "
        "--metrics {input} --out {output} > {log} 2>&1"
