"""Directions over replicates: whether every claim of a table comes out the same way with other seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import UserError
from ..metrics.bootstrap import Estimate
from ..spec.scales import FEWEST_REPLICATES
from ..spec.tables import expectations
from . import verdicts
from .evidence import Evidence
from .tables import ScaledTable, candidate_of, name_of
from .writing import markdown_table

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
COLUMNS = (
    "table",
    "scale",
    "base",
    "row",
    "against",
    "column",
    "title",
    "expected",
    "replicate",
    "difference",
    "ci_low",
    "ci_high",
    "verdict",
)


def claims(table: ScaledTable, evidence: Evidence) -> pd.DataFrame:
    """A row per claim (row, row compared with, column) and replicate, and one (`replicate` "all") for them together.

    A replicate's interval is over prompts (paired bootstrap), the joint one over replicates (Student's t). Claims on
    which the paper prints the same value twice are left out. UserError with fewer than three replicates.
    """
    import pandas as pd

    rows = list(_claims(table, evidence))
    if not rows:
        raise UserError(f"table '{table.table.name}' claims no direction at scale '{table.scale}': no row has `expect`")
    return pd.DataFrame(rows, columns=COLUMNS)


def markdown(rows: pd.DataFrame, title: str) -> str:
    """A Markdown document: how many claims hold, then each with its differences."""
    joint = rows[rows["replicate"] == ALL]
    tally = Counter(verdict.partition(";")[0] for verdict in joint["verdict"])
    counted = "; ".join(f"{count} {verdict}" for verdict, count in tally.most_common())
    replicates = sorted(set(rows["replicate"]) - {ALL}, key=int)
    head = ["base", "row", "compared with", "metric", "expected", *(f"replicate {one}" for one in replicates)]
    explanation = (
        "Intervals of single replicates (in the CSV) are over prompts, those of means over replicates (Student's t)."
    )
    lines = [f"# {title}: directions over {len(replicates)} replicates ({rows['scale'].iloc[0]} scale)", ""]
    lines += [f"{len(joint)} claims: {counted}.", "", explanation, ""]
    keys = ["base", "row", "against", "title", "expected"]
    body = (_line(names, list(claim.itertuples())) for names, claim in rows.groupby(keys, sort=False))
    return "\n".join([*lines, *markdown_table([*head, "mean [95 % CI]", "verdict"], body), ""])


def _line(names: tuple, claim: list) -> list[str]:
    """One claim: what is compared, the difference in each replicate, and the two together (the last of `claim`)."""
    *names, expected = names
    *single, joint = claim
    mean = f"{joint.difference:+.4g} [{joint.ci_low:+.4g}, {joint.ci_high:+.4g}]"
    expected = "higher" if expected > 0 else "lower"
    return [*names, expected, *(f"{one.difference:+.4g}" for one in single), mean, joint.verdict]


def _claims(table: ScaledTable, evidence: Evidence) -> Iterator[dict]:
    for expected in expectations(table.table):
        row, other = table.find(expected.row), table.find(expected.better_than)
        if row and other and expected.column in table.titles:
            about = {"table": table.table.name, "scale": table.scale, "base": row.row.base, "row": row.row.row}
            about |= {"against": name_of(other, row.row.base), "column": expected.column}
            about |= {"title": table.titles[expected.column], "expected": expected.sign}
            differences = evidence.differences(candidate_of(row), candidate_of(other), expected.column)
            yield from (about | one for one in _verdicts(expected.sign, differences))


def _verdicts(sign: int, differences: dict[int, Estimate]) -> Iterator[dict]:
    if len(differences) < FEWEST_REPLICATES:
        raise UserError(
            f"a summary over replicates needs {FEWEST_REPLICATES} of them, got {len(differences)}; "
            "state `replicates: [0, 1, 2]` in config/config.yaml"
        )
    for replicate, estimate in differences.items():
        yield {"replicate": str(replicate), **_bounds(estimate), "verdict": verdicts.direction(sign, estimate)}
    together, verdict = verdicts.combined(sign, [estimate.value for estimate in differences.values()])
    yield {"replicate": ALL, **_bounds(together), "verdict": verdict}


def _bounds(estimate: Estimate) -> dict[str, float]:
    return {"difference": estimate.value, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high}
