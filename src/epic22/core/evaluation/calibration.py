"""From a score to a calibrated probability: Platt, beta and isotonic calibration, chosen by held-out log loss.

n = rows. Calibration is for binary targets. Class probabilities of a multiclass target are left as they are: its bundle says so.
Figures that judge calibration (expected calibration error, slope, reliability) are in `reliability`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, log_expit, logit

from epic22.core.errors import InternalError
from epic22.core.evaluation.bootstrap import compute_cluster_error
from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.predictions import FoldPredictions, OutOfFoldRows
from epic22.core.experiment import Experiment
from epic22.core.serialization import view
from epic22.core.targets import KINDS
from epic22.core.task import Array

CalibrationMethod = Literal["none", "platt", "isotonic", "beta"]
METHODS: tuple[CalibrationMethod, ...] = ("none", "platt", "beta", "isotonic")

MAX_LOG_ODDS = 700.0
"""Log-odds are kept within ± this, so that their exponential is a number."""

EXTRAPOLATION_SLOPE = 1e-6
"""Beyond the outermost blocks an isotonic calibration goes on this slowly in log-odds: the value stays, the order is kept."""


@dataclass(frozen=True)
class Calibration:
    """A monotone map from raw log-odds to probability.

    `numbers`: for platt (slope, intercept) on the log-odds; for beta (a, b, c) in a·ln p − b·ln(1 − p) + c (Kull, Silva Filho
    and Flach 2017), a, b >= 0; for isotonic the blocks' centres in log-odds, then as many calibrated log-odds.

    >>> [round(float(p), 3) for p in Calibration("platt", (0.5, 0.0))(np.array([-2.0, 0.0, 2.0]))]
    [0.269, 0.5, 0.731]
    """

    method: CalibrationMethod = "none"
    numbers: tuple[float, ...] = ()

    def __call__(self, raw: Array) -> Array:
        """Probabilities (n,) of raw log-odds (n,); a row alone gets the same bits as in a batch."""
        return np.asarray(expit(self.log_odds(raw)))

    def log_odds(self, raw: Array) -> Array:
        """Calibrated log-odds (n,) of raw log-odds (n,)."""
        x = np.clip(np.asarray(raw, dtype=np.float64), -MAX_LOG_ODDS, MAX_LOG_ODDS)
        if self.method == "none":
            return x
        if self.method == "isotonic":
            return _interpolate(x, *np.array(self.numbers).reshape(2, -1))
        if self.method == "platt":
            slope, intercept = self.numbers
            return np.asarray(slope * x + intercept)
        a, b, c = self.numbers
        return np.asarray(a * log_expit(x) - b * log_expit(-x) + c)

    def calibrate_probability(self, probability: Array) -> Array:
        """Probabilities (n,) of uncalibrated probabilities (n,), for what gives no raw score."""
        return self(KINDS["binary"].link(probability))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Calibration":
        """The calibration of a state; ValueError for a method or a count of numbers that is not known."""
        calibration = cls(state["kind"], tuple(float(x) for x in state["numbers"]))
        fits: dict[str, Callable[[int], bool]] = {
            "none": lambda n: n == 0,
            "platt": lambda n: n == 2,
            "beta": lambda n: n == 3,
            "isotonic": lambda n: n >= 2 and n % 2 == 0,
        }
        if calibration.method not in fits or not fits[calibration.method](len(calibration.numbers)):
            raise ValueError(f"a calibration of kind {calibration.method!r} with {len(calibration.numbers)} numbers is not known")
        return calibration


CALIBRATION_VIEW = view(Calibration, "kind=method numbers")
"""How a calibration is stored."""


def _interpolate(x: Array, centres: Array, values: Array) -> Array:
    """Linear between the centres, all but constant beyond them."""
    clipped = np.clip(x, centres[0], centres[-1])
    if len(centres) == 1:
        return np.asarray(values[0] + EXTRAPOLATION_SLOPE * (x - clipped))
    j = np.clip(np.searchsorted(centres, clipped, side="right") - 1, 0, len(centres) - 2)
    share = (clipped - centres[j]) / (centres[j + 1] - centres[j])
    # Rounding may lift the end of a stretch above the next one's beginning.
    between = np.minimum(values[j] + (values[j + 1] - values[j]) * share, values[j + 1])
    return np.asarray(between + EXTRAPOLATION_SLOPE * (x - clipped))


def fit_calibration(method: CalibrationMethod, raw: Array, y: Array) -> Calibration:
    """The calibration of that method for raw log-odds (n,) and classes (n,) of 0 and 1; "none" where a class is missing."""
    x = np.clip(np.asarray(raw, dtype=np.float64), -MAX_LOG_ODDS, MAX_LOG_ODDS)
    if method == "none" or not len(y) or y.min() == y.max():
        return Calibration()
    if method == "isotonic":
        return Calibration(method, _fit_isotonic(x, y))
    if method == "platt":
        return Calibration(method, _fit_monotone_logistic(x[:, None], y))
    return Calibration(method, _fit_monotone_logistic(np.column_stack([log_expit(x), -log_expit(-x)]), y))


def _fit_isotonic(x: Array, y: Array) -> tuple[float, ...]:
    """Blocks by pooling adjacent violators (Ayer et al. 1955); a block stands at the mean of its scores.

    A block of one class only is moved off 0 or 1, to 1 in its rows + 2, but never past its neighbour.
    """
    scores, inverse, count = np.unique(x, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=y) / count
    fitted = isotonic_regression(mean, weights=count)
    starts = fitted.blocks[:-1]
    rows = np.add.reduceat(count, starts)
    centres = np.add.reduceat(scores * count, starts) / rows
    values = fitted.x[starts]
    low, high = 1 / (rows[0] + 2), 1 - 1 / (rows[-1] + 2)
    if values[0] <= 0:
        values[0] = min(low, values[1] / 2)
    if values[-1] >= 1:
        values[-1] = max(high, (1 + values[-2]) / 2)
    return (*centres.tolist(), *logit(values).tolist())


def _fit_monotone_logistic(columns: Array, y: Array) -> tuple[float, ...]:
    """Logistic regression with weights >= 0 and an intercept last; a weight that would be negative is set to 0.

    Targets are moved off 0 and 1 (Platt 1999), so that separable rows do not give infinite weights.
    """
    positives = float(y.sum())
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    used = np.ones(columns.shape[1], dtype=bool)
    theta = fit_logistic(columns, target)
    while (theta[:-1] < 0).any():
        used[np.flatnonzero(used)[np.argmin(theta[:-1])]] = False
        theta = fit_logistic(columns[:, used], target)
    weights = np.zeros(columns.shape[1])
    weights[used] = theta[:-1]
    return (*weights.tolist(), float(theta[-1]))


@dataclass(frozen=True, kw_only=True)
class OutOfFoldScores(OutOfFoldRows):
    """Out-of-fold scores of a binary target: raw log-odds (n,)."""

    raw: Array

    @property
    def calibratable(self) -> Array:
        """Rows (n,) that other folds can calibrate: figures of calibrated probabilities are of these alone."""
        mask = np.zeros(len(self.y), dtype=bool)
        for calibration_rows, evaluation_rows in self.iterate_splits():
            mask[evaluation_rows] = len(calibration_rows) > 0
        return mask


def collect_out_of_fold_scores(experiment: Experiment, predictions: tuple[FoldPredictions, ...]) -> OutOfFoldScores:
    """A binary evaluation's parts as one table.

    Raises InternalError for class probabilities (n, k): a target of several classes is not calibrated.
    """
    if any(part.response.ndim != 1 for part in predictions):
        raise InternalError("class probabilities (n, k) were to be calibrated; only a binary target's (n,) can be.")
    raw = KINDS["binary"].link(np.concatenate([part.response for part in predictions]))
    return OutOfFoldScores.from_fold_predictions(experiment, predictions, experiment.plan.strategy == "walk_forward", raw=raw)


@dataclass(frozen=True)
class CalibrationLoss:
    """A method's held-out log loss in nats, over `rows`; `gain` is how much lower it is than without, ± `error` (standard)."""

    method: CalibrationMethod
    log_loss: float
    gain: float
    error: float
    rows: int


def choose_calibration(scores: OutOfFoldScores) -> tuple[Calibration, tuple[CalibrationLoss, ...]]:
    """The calibration fitted on all out-of-fold scores, of the method with the lowest held-out log loss, and the table of losses.

    Each method is fitted on other folds (forward folds: those before whose labels were known) and judged on the fold left out.
    "none" stays unless a method gains more than its paired standard error over clusters, or where there are no folds to judge by.
    """
    losses = {method: _compute_out_of_fold_losses(method, scores) for method in METHODS}
    evaluation_rows = np.flatnonzero(~np.isnan(losses["none"]))
    if not len(evaluation_rows):
        return Calibration(), ()
    cluster = scores.cluster[evaluation_rows]
    table = tuple(
        compute_calibration_loss(method, losses[method][evaluation_rows], losses["none"][evaluation_rows], cluster)
        for method in METHODS
    )
    better = [row for row in table if row.gain > row.error and row.method != "none"]
    best = min(better, key=lambda row: row.log_loss, default=table[0])
    return fit_calibration(best.method, scores.raw, scores.y), table


def _compute_out_of_fold_losses(method: CalibrationMethod, scores: OutOfFoldScores) -> Array:
    """Log loss a row (n,), NaN where there are no calibration rows."""
    losses = np.full(len(scores.y), np.nan)
    for calibration_rows, evaluation_rows in scores.iterate_splits():
        if len(calibration_rows):
            fitted = fit_calibration(method, scores.raw[calibration_rows], scores.y[calibration_rows])
            z = fitted.log_odds(scores.raw[evaluation_rows])
            losses[evaluation_rows] = -log_expit(np.where(scores.y[evaluation_rows] == 1, z, -z))
    return losses


def compute_calibration_loss(
    method: CalibrationMethod, losses: Array, uncalibrated_losses: Array, cluster: Array
) -> CalibrationLoss:
    """A method's losses (n,) beside those without calibration, with the gain's standard error over clusters (n,)."""
    gains = uncalibrated_losses - losses
    error, count = compute_cluster_error(gains, cluster)
    return CalibrationLoss(method, float(losses.mean()), float(gains.mean()), error if count > 1 else math.inf, len(losses))


def calibrate_out_of_fold(scores: OutOfFoldScores, method: CalibrationMethod | None = None) -> Array:
    """Probabilities (n,) in the order of `scores`, each calibrated by other folds than its own, so that their score is honest.

    `method` None: the choice, too, is made anew by the folds that teach. Where nothing teaches (the first of forward folds: not
    `scores.calibratable`) the probability is left as it is.
    """
    probability = Calibration()(scores.raw)
    for calibration_rows, evaluation_rows in scores.iterate_splits():
        if len(calibration_rows):
            calibration_scores = scores.take(calibration_rows)
            fitted = (
                choose_calibration(calibration_scores)[0]
                if method is None
                else fit_calibration(method, calibration_scores.raw, calibration_scores.y)
            )
            probability[evaluation_rows] = fitted(scores.raw[evaluation_rows])
    return probability
