"""Where the level of a label stands at the end of training, when it moves: prices that rise, costs that fall.

Trees know no trend, and a date as a column asks of rows that lie ahead of all that were learned. By how much held-out rows of
late windows exceed their predictions is a short series instead: a level that walks at random, seen through noise (the local
level model, Durbin and Koopman 2012, chapter 2). It is followed only where a level that stays is certainly the worse account.
"""

from dataclasses import dataclass

import numpy as np

from epic22.core.models.loss import compute_huber_delta
from epic22.core.task import Array, Target
from epic22.core.text import format_figure

N_BLOCKS = 20
MIN_BLOCK_ROWS = 10
"""Rows of a block at least; with fewer no level is looked for."""

STEP_VARIANCES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Variances of a step from block to block that are tried, in variances of a block's mean."""

MIN_EVIDENCE = 2.71
"""Twice the gain in log likelihood by which a moving level must be the better account: 5 % under a level that stays, for the
variance of its steps is at the border of what it can be (Self and Liang 1987)."""


@dataclass(frozen=True)
class LevelShift:
    """How far predictions move, in the unit of raw scores, to stand where the label stood `last`, above held-out predictions that
    it exceeded by `mean` on average. `evidence` is twice the gain in log likelihood over a level that stays."""

    shift: float
    last: float
    mean: float
    evidence: float

    def describe(self, target: Target) -> str:
        """Where the level stands and how far predictions move, for a report."""
        unit = " %" if target.log else f" {target.unit}" if target.unit else ""
        stood, moved = (f"{format_figure(abs(value) * (100 if target.log else 1))}{unit}" for value in (self.last, self.shift))
        return (
            f"{target.name} moves: at the end of training it stood {stood} {'above' if self.last > 0 else 'below'} held-out "
            f"predictions, hardly by chance (twice the log likelihood gained: {format_figure(self.evidence)}). "
            f"Predictions are {'raised' if self.shift > 0 else 'lowered'} by {moved}"
        )


def estimate_level_shift(residuals: Array, at: Array, share: float, is_mean_added: bool) -> LevelShift | None:
    """The level of held-out residuals (n,), label minus prediction, at their times (n,), None where it is not certain to move.

    Models that are refitted on all rows have learned `share`, the held-out rows' share of all, of what those had more.
    `is_mean_added`: the mean of the residuals is added already, as smearing does. Single rows are cut where nine in ten are
    smaller.
    """
    if len(residuals) < N_BLOCKS * MIN_BLOCK_ROWS:
        return None
    median = float(np.median(residuals))
    delta = compute_huber_delta(residuals - median)
    clipped = np.clip(residuals, median - delta, median + delta)
    blocks = np.array_split(np.argsort(at, kind="stable"), N_BLOCKS)
    means, noise = np.array([clipped[b].mean() for b in blocks]), np.array([1 / len(b) for b in blocks])
    constant_likelihood, mean = fit_local_level(means, noise, 0.0)
    likelihood, last = max(fit_local_level(means, noise, step) for step in STEP_VARIANCES)
    evidence = 2 * (likelihood - constant_likelihood)
    if evidence <= MIN_EVIDENCE:
        return None
    return LevelShift(last - (share + is_mean_added) * mean, last, mean, evidence)


def fit_local_level(means: Array, noise: Array, step: float) -> tuple[float, float]:
    """Log likelihood but for a constant, and the level after the last of the means (k,), by the Kalman filter.

    `noise` (k,): their variances, up to a factor that is estimated; `step`: the variance of the level's steps, in mean noise.

    >>> fit_local_level(np.array([1.0, 2.0, 3.0]), np.ones(3), 0.0)[1]
    2.0
    """
    level, variance, step_variance = float(means[0]), float(noise[0]), step * float(noise.mean())
    squares, logs = 0.0, 0.0
    for mean, mean_variance in zip(means[1:], noise[1:], strict=True):
        variance += step_variance
        total_variance = variance + mean_variance
        error = mean - level
        squares, logs = squares + error**2 / total_variance, logs + np.log(total_variance)
        level, variance = level + variance / total_variance * error, variance * mean_variance / total_variance
    count = len(means) - 1
    return float(-(count * np.log(max(squares, 1e-300) / count) + logs) / 2), float(level)
