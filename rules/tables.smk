"""Tables, verdicts and the assumption ledger; numbers are those of metrics files."""


localrules:
    make_table,
    check_architecture,
    write_ledger,
    summarize_directions,


def metrics_files(scale, sheet, replicate=0):
    """Metrics files of a table or figure in one replicate: every row on every prompt set of its columns."""
    return [
        f"results/{scale}metrics/{policy}/{prompt_set}/{selection}.json"
        for policy, prompt_set, selection in CONFIG.table_measurements(sheet, scale, replicate)
    ]


def metrics_of(wildcards):
    """Metrics files of every row of a table, or of every rank and line of a figure, in the replicates asked for."""
    return metrics_of_replicates(wildcards, CONFIG.settings.get("replicates") or [0])


def metrics_of_replicates(wildcards, replicates=None):
    """The same in these replicates, or in all of the scale."""
    sheet = wildcards.get("table") or wildcards.figure
    replicates = replicates or CONFIG.replicates(wildcards.scale)
    return [path for one in replicates for path in metrics_files(wildcards.scale, sheet, one)]


def identity_of_table(wildcards):
    return sheet_identity(wildcards.scale, wildcards.table)


def identity_of_architecture(wildcards):
    return fingerprint(table=CONFIG.architectures[wildcards.table].data)


def identity_of_ledger(wildcards):
    return fingerprint(rows=[(row.scope, row.key, str(row.value), row.text) for row in CONFIG.ledger(wildcards.scale)])


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
    wildcard_constraints:
        table="|".join(CONFIG.tables),
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        table=identity_of_table,
        code=code_of("make_table"),
    shell:
        "python -m workflow_scripts.make_table --table {wildcards.table:q} --scale {params.scale:q} --metrics "
        "{input:q} --out {output:q} > {log:q} 2>&1"


rule write_ledger:
    """Every number of a scale: quoted from the paper, assumed for a reason, or changed by the scale."""
    output:
        csv=report("results/{scale}ledger.csv", caption="../docs/captions/ledger.rst", category="Assumptions"),
        md="results/{scale}ledger.md",
    log:
        "results/{scale}logs/write_ledger.log",
    conda:
        "../envs/analysis.yaml"
    params:
        scale=scale_name,
        ledger=identity_of_ledger,
        code=code_of("write_ledger"),
    shell:
        "python -m workflow_scripts.write_ledger --scale {params.scale:q} --out {output:q} > {log:q} 2>&1"


rule check_architecture:
    """A table of the layers of a network, made from the network itself; fails where the code departs from the paper."""
    output:
        csv=report(
            "results/{scale}tables/{table}.csv",
            caption="../docs/captions/architecture.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        md="results/{scale}tables/{table}.md",
        tex="results/{scale}tables/{table}.tex",
    log:
        "results/{scale}logs/check_architecture/{table}.log",
    wildcard_constraints:
        table="|".join(CONFIG.architectures),
    conda:
        "../envs/diffusion.yaml"
    params:
        table=identity_of_architecture,
        code=code_of("check_architecture"),
    shell:
        "python -m workflow_scripts.check_architecture --table {wildcards.table:q} --out {output:q} > {log:q} 2>&1"


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
        "python -m workflow_scripts.summarize_directions --table {wildcards.table:q} --scale {params.scale:q} "
        "--metrics {input:q} --out {output:q} > {log:q} 2>&1"
