"""A run at a glance: counts by rule, time left by measured rates, and the text that shows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from textwrap import fill

from .benchmarks import Measured, expected_seconds
from .logs import last_lines, last_progress, seconds_left
from .states import DONE, FAILED, RUNNING, STATES, WAITING, Seen

COLUMNS = 100
LAST_LINES = 5
ALL_DONE, SOMETHING_FAILED, STILL_TO_DO = 0, 1, 3
"""Exit statuses; 2 is that of a mistake in the call."""
COLOURS = {DONE: 32, RUNNING: 36, FAILED: 31}
Paint = Callable[[str, str], str]


@dataclass(frozen=True)
class Rule:
    """What is left of a rule: jobs by state, seconds of all its jobs that are left (None: never measured)."""

    name: str
    counts: Counter
    seconds: float | None


def exit_status(seen: Sequence[Seen]) -> int:
    """0: all is done; 1: a job failed; 3: something is still to do."""
    states = {one.state for one in seen}
    if FAILED in states:
        return SOMETHING_FAILED
    return STILL_TO_DO if states - {DONE} else ALL_DONE


def seconds_of(one: Seen, measured: Sequence[Measured]) -> float | None:
    """Seconds that a job still takes: what its own log says, else what jobs like it took; None: not known."""
    if one.state == DONE or one.job.benchmark is None:  # what is not measured takes seconds
        return 0.0
    said = seconds_left(one.logs[0]) if one.state == RUNNING and one.logs else None
    if said is not None:
        return said
    whole = expected_seconds(one.job.rule, one.job.wildcards, measured)
    if whole is None:
        return None
    return max(0.0, whole - one.seconds) if one.state == RUNNING else whole


def by_rule(seen: Iterable[Seen], measured: Sequence[Measured]) -> list[Rule]:
    """All rules in the order of their first job."""
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        groups.setdefault(one.job.rule, []).append(one)
    return [_rule(name, group, measured) for name, group in groups.items()]


def _rule(name: str, group: list[Seen], measured: Sequence[Measured]) -> Rule:
    left = [seconds_of(one, measured) for one in group]
    return Rule(name, Counter(one.state for one in group), None if None in left else sum(left))


def plain(text: str, state: str) -> str:
    """No colour."""
    return text


def coloured(text: str, state: str) -> str:
    """The text in the colour of a state, for a terminal."""
    return f"\x1b[{COLOURS[state]}m{text}\x1b[0m" if state in COLOURS else text


def report(seen: Sequence[Seen], measured: Sequence[Measured], heads: Iterable[str], paint: Paint = plain) -> str:
    """The whole report, in 100 columns but for paths of logs, which are to be copied."""
    rules = by_rule(seen, measured)
    parts = [
        table(rules, paint),
        _section("running, since h:mm:ss", RUNNING, [one for one in seen if one.state == RUNNING], paint),
        _section("failed", FAILED, [one for one in seen if one.state == FAILED], paint),
        _section("interrupted; the same command goes on", WAITING, [one for one in seen if one.begun], paint),
        time_left(rules),
        "\n".join(cut(line) for line in heads),
    ]
    return "\n\n".join(part for part in parts if part)


def table(rules: Sequence[Rule], paint: Paint) -> str:
    """A row for each rule: jobs by state, and the job time that is left."""
    total = Counter()
    for rule in rules:
        total.update(rule.counts)
    width = max(len(rule.name) for rule in rules) if rules else 5
    head = f"{'rule':<{width}}{'jobs':>7}" + "".join(f"{state:>9}" for state in STATES) + f"{'job time left':>16}"
    rows = [_row(rule.name, rule.counts, _shown(rule), width, paint) for rule in rules]
    return "\n".join([head, *rows, _row("total", total, "", width, paint)])


def _row(name: str, counts: Counter, left: str, width: int, paint: Paint) -> str:
    cells = [paint(f"{counts[state] or '-':>9}", state if counts[state] else "") for state in STATES]
    return f"{name:<{width}}{counts.total():>7}{''.join(cells)}{left:>16}".rstrip()


def _shown(rule: Rule) -> str:
    if rule.counts[DONE] == rule.counts.total():
        return ""
    if rule.seconds is None:
        return "not known"
    return duration(rule.seconds) if rule.seconds >= 1 else "seconds"


def time_left(rules: Sequence[Rule]) -> str:
    """Job time that is left, and how long that is with as many jobs at a time as run now."""
    known = sum(rule.seconds for rule in rules if rule.seconds is not None)
    unknown = [rule.name for rule in rules if rule.seconds is None]
    running = sum(rule.counts[RUNNING] for rule in rules)
    if not known:
        return f"time left: not known yet, never measured: {', '.join(unknown)}" if unknown else ""
    said = f"time left: {duration(known)} of job time by what was measured"
    said += f", about {duration(known / running)} with {running} at a time" if running > 1 else ""
    return said + ("\n" + fill(f"not known, never measured: {', '.join(unknown)}", COLUMNS) if unknown else "")


def _section(title: str, state: str, seen: Sequence[Seen], paint: Paint) -> str:
    """Each of these jobs with what its log says."""
    return "\n".join([paint(title, state), *(line for one in seen for line in _block(one))]) if seen else ""


def _block(one: Seen) -> list[str]:
    job = f"{one.job.rule}: {one.job.output[0]}"
    if one.state == RUNNING:
        said = last_progress(one.logs[0]) if one.logs else None
        return [cut(f"  {duration(one.seconds)} {job}")] + ([cut(f"    {said}")] if said else [])
    if one.state == WAITING:
        return [cut(f"  {job}")]
    return [cut(f"  {job}"), *(line for path in one.logs for line in [f"    log: {path}", *_tail(path)])]


def _tail(path: str) -> list[str]:
    return [cut(f"      {line}") for line in last_lines(path, LAST_LINES)]


def duration(seconds: float) -> str:
    """`0:02:30`, `3 days, 4:00:00`."""
    return str(timedelta(seconds=round(seconds)))


def cut(line: str) -> str:
    """The line in 100 columns, its end left out."""
    return line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
