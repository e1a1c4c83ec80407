"""Targets: one for every table and figure, named as its file in config/tables, with its title as the sentence."""

for sheet, title in sorted(TITLES.items()):

    rule:
        name:
            sheet
        input:
            files_of(sheet),

    workflow.get_rule(sheet).docstring = f"{title}."
