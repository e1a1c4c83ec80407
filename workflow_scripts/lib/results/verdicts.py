"""Verdicts: does a result point the way the paper says, and, at paper scale, is the value the paper's?

A direction is the sign of a paired difference between two rows of a table; its confidence interval says whether that
sign is more than noise.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..metrics.bootstrap import Estimate

BASELINE = "baseline"
NO_DIRECTION = "no direction expected"
SAME_CLEAR = "same direction, CI excludes 0"
SAME_UNCLEAR = "same direction, not distinguishable"
OPPOSITE_UNCLEAR = "opposite direction, not distinguishable"
OPPOSITE_CLEAR = "opposite direction, CI excludes 0"
NO_CHANGE = "no difference"
WITHIN = "within tolerance"
OUTSIDE = "outside tolerance"

MARKS = {
    SAME_CLEAR: "✓",
    SAME_UNCLEAR: "(✓)",
    OPPOSITE_UNCLEAR: "(✗)",
    OPPOSITE_CLEAR: "✗",
    WITHIN: "✓",
    OUTSIDE: "✗",
}


def direction(expected: int, difference: Estimate) -> str:
    """Verdict on a paired difference whose sign should be `expected` (0: the paper prints the same value twice)."""
    if expected == 0:
        return NO_DIRECTION
    if difference.value == 0:
        return NO_CHANGE
    clear = difference.ci_low > 0 or difference.ci_high < 0
    if math.copysign(1, difference.value) == expected:
        return SAME_CLEAR if clear else SAME_UNCLEAR
    return OPPOSITE_CLEAR if clear else OPPOSITE_UNCLEAR


def reproduced(ours: float, paper: float, tolerance: float) -> str:
    """Verdict on a value at paper scale: within an absolute `tolerance` of the paper's, or outside."""
    return WITHIN if abs(ours - paper) <= tolerance else OUTSIDE


def combined(expected: int, differences: Sequence[float]) -> tuple[Estimate, str]:
    """The mean difference over two or more replicates with its 95 % Student interval, and the verdict.

    Replicates share prompts and differ in every seed, so the interval says what other seeds would give. The verdict
    also counts the replicates that agree.
    """
    from scipy.special import stdtrit

    values = np.asarray(differences, np.float64)
    margin = stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values))
    mean = 0.0 if abs(values.sum()) < 1e-9 * np.abs(values).sum() else float(values.mean())  # rounding is no direction
    estimate = Estimate(mean, float(mean - margin), float(mean + margin))
    agreeing = int((np.sign(values) == expected).sum())
    verdict = direction(expected, estimate)
    return estimate, verdict if expected == 0 else f"{verdict}; {agreeing} of {len(values)} replicates agree"
