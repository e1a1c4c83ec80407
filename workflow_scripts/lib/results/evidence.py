"""Metrics files of one scale, grouped over replicates: what tables, figures and verdicts are made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import read_json
from ..metrics.bootstrap import Estimate, interval, paired_difference
from ..metrics.record import read_bootstrap
from ..spec.policies import Policy, parse_policy

Candidate = tuple[str, str]
"""A policy without its replicate, and a selection."""


@dataclass(frozen=True)
class Measurement:
    """One metrics file: a policy of one replicate under one selection, on one prompt set."""

    path: Path
    policy: Policy
    selection: str
    num_prompts: int
    metrics: Mapping[str, Mapping[str, float]]

    @property
    def candidate(self) -> Candidate:
        """What the measurement is of, whatever the replicate."""
        return str(replace(self.policy, replicate=0)), self.selection

    @cached_property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Bootstrap columns (R,) by metric."""
        return read_bootstrap(self.path)

    def value(self, metric: str) -> float:
        """The point estimate of a metric."""
        return self.metrics[metric]["value"]


@dataclass(frozen=True)
class Summary:
    """A metric over the replicates of a candidate: mean, its interval over prompts, standard deviation, n of each."""

    estimate: Estimate
    sd: float
    n: int
    replicates: int


class Evidence:
    """The metrics files of one scale; every metric of a candidate must have been measured in the same replicates."""

    def __init__(self, paths: Iterable[str | Path]):
        self._found: dict[Candidate, dict[str, dict[int, Measurement]]] = {}
        for path in map(Path, paths):
            measurement = _read(path)
            metrics = self._found.setdefault(measurement.candidate, {})
            for metric in measurement.metrics:
                self._add(metrics.setdefault(metric, {}), measurement)
        self._require_same_replicates()

    def replicates(self, candidate: Candidate, metric: str) -> dict[int, Measurement]:
        """The files that hold a metric of a candidate, by replicate, in order; UserError when there are none."""
        if candidate not in self._found:
            known = ", ".join("/".join(one) for one in self._found)
            raise UserError(f"no metrics file of {'/'.join(candidate)} was given; given: {known or 'none'}")
        metrics = self._found[candidate]
        if metric not in metrics:
            raise UserError(
                f"the metrics files of {'/'.join(candidate)} have no metric '{metric}', only {', '.join(metrics)}; "
                f"delete them and remake them with compute_metrics"
            )
        return dict(sorted(metrics[metric].items()))

    def summary(self, candidate: Candidate, metric: str) -> Summary:
        """A metric over the replicates of a candidate.

        The interval says what other prompts would make of the mean: resample i has the same prompts in all replicates.
        """
        measured = list(self.replicates(candidate, metric).values())
        values = np.array([one.value(metric) for one in measured])
        estimate = interval(values.mean(), self.column(candidate, metric))
        sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return Summary(estimate, sd, int(measured[0].metrics[metric]["n"]), len(values))

    def column(self, candidate: Candidate, metric: str) -> np.ndarray:
        """Bootstrap column (R,) of the mean of a metric over the replicates."""
        return np.mean([one.columns[metric] for one in self.replicates(candidate, metric).values()], axis=0)

    def differences(self, candidate: Candidate, other: Candidate, metric: str) -> dict[int, Estimate]:
        """Paired differences candidate - other by replicate."""
        others = self.replicates(other, metric)
        return {
            replicate: paired_difference(
                one.value(metric), others[replicate].value(metric), *_paired(one, others[replicate], metric)
            )
            for replicate, one in self.replicates(candidate, metric).items()
        }

    def difference(self, candidate: Candidate, other: Candidate, metric: str) -> Estimate:
        """The paired difference candidate - other of the means over replicates, with its interval over prompts."""
        both = (self.replicates(one, metric).values() for one in (candidate, other))
        pairs = list(zip(*both, strict=True))
        value = np.mean([one.value(metric) - two.value(metric) for one, two in pairs])
        ours, theirs = np.mean([_paired(one, two, metric) for one, two in pairs], axis=0)
        return paired_difference(float(value), 0.0, ours, theirs)

    def _add(self, replicates: dict[int, Measurement], measurement: Measurement) -> None:
        other = replicates.setdefault(measurement.policy.replicate, measurement)
        if other is not measurement:
            raise UserError(f"{measurement.path} and {other.path} measure the same; give one of them")

    def _require_same_replicates(self) -> None:
        measured = [(one, replicates) for one, metrics in self._found.items() for replicates in metrics.values()]
        (first, expected), *others = measured or [(None, {})]
        for candidate, replicates in others:
            if replicates.keys() != expected.keys():
                raise UserError(
                    f"{'/'.join(candidate)} was measured in replicates {sorted(replicates)}, "
                    f"{'/'.join(first)} in {sorted(expected)}; give the same replicates of all"
                )


def _read(path: Path) -> Measurement:
    content = read_json(path)
    try:
        return Measurement(
            path, parse_policy(content["policy"]), content["selection"], content["n"], content["metrics"]
        )
    except KeyError as error:
        raise UserError(
            f"{path} is no metrics file: it has no {error}; delete it and remake it with compute_metrics"
        ) from None


def _paired(one: Measurement, two: Measurement, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap columns of two measurements; UserError when they were not drawn alike."""
    ours, theirs = one.columns[metric], two.columns[metric]
    if (one.num_prompts, len(ours)) != (two.num_prompts, len(theirs)):
        raise UserError(
            f"{one.path} ({one.num_prompts} prompts, {len(ours)} resamples) and {two.path} ({two.num_prompts} prompts, "
            f"{len(theirs)} resamples) cannot be compared prompt by prompt; remake both with compute_metrics"
        )
    return ours, theirs
