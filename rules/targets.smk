"""Targets: both papers; every table, figure and user study, named as its file, with what it is as the sentence."""

from functools import partial

from workflow_scripts.lib.spec.targets import PAPERS, titles

for paper, title in PAPERS.items():

    rule:
        name:
            paper
        input:
            everything_of(paper),

    workflow.get_rule(paper).docstring = f"All tables, figures and user studies of {title}."

    rule:
        name:
            f"{paper}_directions"
        input:
            partial(direction_summaries, paper=paper),

    workflow.get_rule(f"{paper}_directions").docstring = f"The claims of {title} over all replicates."


for sheet, title in sorted(titles(CONFIG).items()):

    rule:
        name:
            sheet
        input:
            files_of(sheet),

    workflow.get_rule(sheet).docstring = title if title.endswith("?") else f"{title}."


for study in CONFIG.studies.values():

    rule:
        name:
            study.name
        input:
            files_of(study.name),

    a, b = (row.row for row in study.rows)
    workflow.get_rule(study.name).docstring = (
        f"User study of {a} and {b}: its page, a proxy win rate, the votes if any."
    )
