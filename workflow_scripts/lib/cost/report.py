"""A plan in the terminal, in Markdown, and as records for CSV and JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .numbers import Numbers
from .plan import Row
from .sources import Downloads

HEAD = ("target", "jobs", "GPU-hours", "measured", "CPU-hours", "download GB", "results GB")


WIDTH = 120
INTRODUCTION = """\
# What it costs

Written by `make costs`, which plans everything from nothing. On your machine
`python -m workflow_scripts.plan_cost TARGET … --scale pilot` prints the same for what is still needed there, with
licences and terms to accept; `--gpu a100` is for another GPU.

GPU-hours are those of an {gpu}. `measured` is the share of them that comes from finished jobs. The rest are the FLOPs
of the published architectures (`config/flops.json`, counted by `python -m workflow_scripts.count_flops`) over a share
of {peak} TFLOP/s that `config/costs.yaml` states with its source; they can be off by a factor of two. As soon as a job
of a scale has finished, its measured time per image stands in for those of jobs that do the same.

CPU-hours include the threads of GPU jobs. A plus sign behind downloads says that some have no known size. What several
targets share counts in each of them, and once in the last row.
"""


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table as text; a plus sign says that more comes on top, of unknown size."""
    more, unsized = "+" * bool(row.lacking), "+" * bool(row.downloads.unsized)
    measured = f"{row.measured:.0%}" if row.gpu_hours else ""
    return (
        row.target,
        f"{row.jobs:,}",
        f"{_rounded(row.gpu_hours)}{more}",
        measured,
        _rounded(row.cpu_hours),
        f"{_rounded(row.downloads.gigabytes)}{unsized}",
        _rounded(row.gb_written),
    )


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _rounded(value: float) -> str:
    """Two digits or whole numbers: an estimate has no more."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def terminal(rows: Sequence[Row], numbers: Numbers, scale: str) -> str:
    """An aligned table in plain text and the notes below."""
    table = [HEAD, *map(cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in table]
    return "\n".join([*(line.rstrip() for line in lines), "", *_wrapped(notes(rows, numbers, scale))])


def page(plans: Mapping[str, Sequence[Row]], numbers: Numbers) -> str:
    """docs/costs.md: a section for each scale."""
    sections = (f"## {scale.capitalize()} scale\n\n{_markdown(rows)}\n" for scale, rows in plans.items())
    whole = next(reversed(plans.values()))[-1].downloads
    licences = "\n".join(f"* {line}" for line in _licences(whole))
    return "\n".join([_introduction(numbers), *sections, f"## Licences of all models and data\n\n{licences}\n"])


def _introduction(numbers: Numbers) -> str:
    gpu = numbers.costs["gpus"][numbers.gpu]
    return INTRODUCTION.format(gpu=gpu["title"], peak=gpu["bf16_tflops"])


def _markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ("---",) + ("--:",) * (len(HEAD) - 1), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(rows: Sequence[Row], numbers: Numbers, scale: str) -> Iterator[str]:
    """What the numbers mean, which are measured, and what to accept before the downloads."""
    whole, gpu = rows[-1], numbers.costs["gpus"][numbers.gpu]
    yield f"Jobs still needed at {scale} scale. What several targets share counts in each, and once in the last row."
    yield (
        f"GPU-hours of an {gpu['title']}: {whole.measured:.0%} measured, by finished jobs of this scale on the GPU "
        f"that they had; the rest are FLOPs over a stated share of {gpu['bf16_tflops']} TFLOP/s (config/flops.json, "
        "config/costs.yaml), which can be off by a factor of two. CPU-hours include the threads of GPU jobs."
    )
    if whole.lacking:
        yield f"+ Not estimated: jobs of {', '.join(whole.lacking)}, whose FLOPs are not known, before one is measured."
    if whole.downloads.unsized:
        yield f"+ Downloads of unknown size: {', '.join(whole.downloads.unsized)}."
    if whole.downloads.gates:
        yield f"Terms to accept first: {', '.join(whole.downloads.gates)}"
    yield from (f"Licence {line}" for line in _licences(whole.downloads))


def _licences(found: Downloads) -> Iterator[str]:
    """`MIT: this, that`, a line for each licence."""
    titles: dict[str, list[str]] = {}
    for title, licence in found.licences:
        titles.setdefault(licence, []).append(title)
    yield from (f"{licence}: {'; '.join(dict.fromkeys(names))}" for licence, names in sorted(titles.items()))


def record(row: Row) -> dict[str, Any]:
    """A row with plain values, unrounded."""
    return {
        "target": row.target,
        "jobs": row.jobs,
        "gpu_jobs": row.gpu_jobs,
        "gpu_hours": row.gpu_hours,
        "gpu_hours_measured": row.measured * row.gpu_hours,
        "cpu_hours": row.cpu_hours,
        "download_gb": row.downloads.gigabytes,
        "download_size_unknown": list(row.downloads.unsized),
        "results_gb": row.gb_written,
        "terms_to_accept": list(row.downloads.gates),
        "licences": [f"{title}: {licence}" for title, licence in row.downloads.licences],
        "not_estimated": list(row.lacking),
    }
