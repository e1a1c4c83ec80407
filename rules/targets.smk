"""Targets: one for every table, figure and user study, named as its file, with what it is as the sentence."""

for sheet, title in sorted(TITLES.items()):

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
            studies([study.name]),

    a, b = (row.row for row in study.rows)
    workflow.get_rule(study.name).docstring = (
        f"User study of {a} and {b}: its page, a proxy win rate, the votes if any."
    )
