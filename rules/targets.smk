"""Targets: both papers; every table, figure and user study, named as its file, with what it is as the sentence."""

from functools import partial

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.spec.scales import FEWEST_REPLICATES
from workflow_scripts.lib.spec.targets import PAPERS, target_names, titles


def files_of(sheet):
    """A table in three formats, a figure in its own, or what there is of a study, at the chosen scale."""
    if sheet in CONFIG.studies:
        return files_of_study(sheet)
    if sheet in CONFIG.tables | CONFIG.architectures:
        written = [f"results/{SCALE}tables/{sheet}.{suffix}" for suffix in ("csv", "md", "tex")]
        return written + (validities_of(sheet) if sheet in CONFIG.tables else [])
    suffixes = ("pdf", "png", "gif") if sheet in grids_of_clips() else ("pdf", "png")
    return [f"results/{SCALE}figures/{sheet}.{suffix}" for suffix in suffixes]


def grids_of_clips():
    """Figures whose policies make clips at the chosen scale."""
    shown = {
        name: [row.policy for block in grid.blocks for row in CONFIG.columns_shown(block, SCALE)]
        for name, grid in CONFIG.figures_of(ImageGrid).items()
    }
    return [name for name, policies in shown.items() if policies and all(map(makes_clips, policies))]


def makes_clips(policy):
    """Whether the model behind a policy makes clips."""
    return "num_frames" in CONFIG.sampling(policy, SCALE)


def validities():
    """Checks of every reward that a figure ranks by, or a table that wants them, at the chosen scale."""
    ranked = {(figure.reward, figure.policy) for figure in CONFIG.figures_of(RankFigure).values()}
    checked = [f"results/{SCALE}validity/{reward}.{policy}.eval.csv" for reward, policy in sorted(ranked)]
    return checked + [path for table in CONFIG.tables for path in validities_of(table)]


def validities_of(table):
    """Checks of the rewards of a table that wants them, at the chosen scale."""
    rows = CONFIG.table_rows(table, SCALE) if CONFIG.tables[table].validity else []
    ranked = [(row.row.reward, row.policy) for row in rows if row.row.reward and not row.skipped]
    return [f"results/{SCALE}validity/{reward}.{policy}.eval.csv" for reward, policy in ranked]


def files_of_study(study):
    """Page and proxy win rates of a study at the chosen scale, and win rates if people have voted."""
    parts = ["html", "proxy.csv", "proxy.md"] + ["votes.csv", "votes.md"] * has_votes(SCALE, study)
    return [f"results/{SCALE}studies/{study}.{part}" for part in parts]


def has_votes(scale, study):
    """Whether people's votes on a study are there."""
    return any(Path(f"resources/votes/{scale}{study}").glob("[!.]*"))


def ledger():
    """The assumption ledger of the chosen scale, in two formats."""
    return [f"results/{SCALE}ledger.{suffix}" for suffix in ("csv", "md")]


def everything_of(paper=""):
    """Tables, figures and studies at the chosen scale whose names begin with that of a paper; of both without one."""
    return [path for name in target_names(CONFIG, SCALE, paper) for path in files_of(name)]


def direction_summaries(wildcards, paper=""):
    """Summaries over replicates, at the chosen scale, of the tables with claims of a paper: all but questions, `_q_`."""
    if len(replicates := CONFIG.replicates(SCALE)) < FEWEST_REPLICATES:
        raise UserError(
            f"directions need {FEWEST_REPLICATES} replicates, scale '{CONFIG.settings['scale']}' has {replicates}: "
            "state `replicates: [0, 1, 2]` in config/config.yaml"
        )
    claiming = [
        name for name in CONFIG.tables if "_q_" not in name and any(row.better_than for row in CONFIG.tables[name].rows)
    ]
    names = [name for name in claiming if name.startswith(paper)]
    return [f"results/{SCALE}directions/{name}.{suffix}" for name in names for suffix in ("csv", "md")]


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
