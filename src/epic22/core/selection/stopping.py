"""Is a search exhausted? It is where what more trials are expected to gain is less than what its folds can tell apart.

The rule is that of Makarova et al. (2022): stop where a bound on what is left to gain falls below the standard error of the best
trial. The gain is had without a surrogate model, from what doubling the trials gained so far (the expected best of a random half,
quarter, eighth … of them; Dodge et al. 2019), and from what the latest half of them did gain.

Looked at after every fifth trial of random searches in 1, 2 and 6 parameters, the rule stopped at a median of 35, 65 and 200
trials, and twice as many trials then gained 0.1, 0.4 and 1.1 standard errors on average (`tests/unit/test_stopping.py`).
"""

import math
from dataclasses import dataclass

import numpy as np

from epic22.core.task import Array

MIN_TRIALS = 20
"""Trials before a search may stop."""

SAFETY_FACTOR = 1.5
"""The expected gain is multiplied by this: whoever looks often stops at the first low estimate."""

N_HALVINGS = 5
"""Halvings of the trials whose expected best is looked at."""


@dataclass(frozen=True)
class StoppingDecision:
    """Whether more search will not help, and why. `expected_gain` of the next trials and `error` are in the metric's unit."""

    exhausted: bool
    reason: str
    expected_gain: float
    error: float

    def __bool__(self) -> bool:
        return self.exhausted


def check_exhaustion(
    scores: Array,
    greater_is_better: bool = True,
    n_more: int | None = None,
    overlap: float | None = None,
    min_trials: int = MIN_TRIALS,
) -> StoppingDecision:
    """Whether `n_more` trials (default: as many again as there were) are expected to gain less than the error.

    `scores` (trials, folds), in the order in which they were tried; NaN for what was pruned or failed. `overlap` is test rows ÷
    training rows of a fold (default: that of as many folds split once), by which the error is corrected (Nadeau and Bengio 2003).
    """
    values = np.asarray(scores, dtype=np.float64) * (1 if greater_is_better else -1)
    tried, folds = values.shape
    mean = values.mean(axis=1)
    whole = values[~np.isnan(mean)]
    if tried < min_trials or len(whole) < max(8, min_trials // 4):
        return StoppingDecision(False, f"{tried} trials, {len(whole)} of them complete, are too few to tell", math.nan, math.nan)
    if folds < 2:
        return StoppingDecision(False, "one fold gives no standard error, so there is no rule when to stop", math.nan, math.nan)
    further = tried if n_more is None else n_more
    gain = max(estimate_gain(mean) * math.log2(1 + further / tried), _compute_recent_gain(mean) / SAFETY_FACTOR)
    error = _compute_error_of_best(whole, 1 / (folds - 1) if overlap is None else overlap)
    exhausted = SAFETY_FACTOR * gain <= error
    forecast = f"{further:,} more trials are expected to gain {gain:.2g}"
    comparison = "far less than" if exhausted else "not far less than"
    return StoppingDecision(exhausted, f"{forecast}, {comparison} the error of the best, {error:.2g}", gain, error)


def estimate_gain(scores: Array) -> float:
    """By how much the best of twice as many trials is expected to exceed the best of these; scores (t,), NaN counts as lowest.

    A doubling of trials gains the less the nearer the end of their scores is, in a fixed ratio; it is taken from the doublings
    before, and the gain from the latest two.
    """
    gains = -np.diff(_compute_expected_bests(scores))
    if gains.max() <= 0:
        return 0.0
    ratio = math.sqrt(gains[1] / gains[3]) if gains[3] > 0 else 1.0
    return float(max(gains[0], gains[1]) * min(1.0, ratio))


def _compute_expected_bests(scores: Array) -> Array:
    """The expected best of all, of a random half, quarter …, less the best of all, (N_HALVINGS,)."""
    known = np.sort(scores[~np.isnan(scores)])[::-1]
    known = known - known[0]
    shares = 0.5 ** np.arange(N_HALVINGS)
    weights = shares[:, None] * (1 - shares[:, None]) ** np.arange(len(known))
    return np.asarray((weights * known).sum(axis=1) / weights.sum(axis=1))


def _compute_recent_gain(mean: Array) -> float:
    """By how much the best of all trials exceeds the best of the first half."""
    first = mean[: len(mean) // 2]
    return float(np.nanmax(mean) - np.nanmax(first)) if not np.isnan(first).all() else math.inf


def _compute_error_of_best(whole: Array, overlap: float) -> float:
    """How finely the folds tell the best from its rivals: the median corrected standard error of the paired differences to the
    next quarter of the trials."""
    order = np.argsort(-whole.mean(axis=1), kind="stable")
    rivals = whole[order[1 : 1 + max(3, len(whole) // 4)]]
    variances = (whole[order[0]] - rivals).var(axis=1, ddof=1)
    return float(np.median(np.sqrt((1 / whole.shape[1] + overlap) * variances)))
