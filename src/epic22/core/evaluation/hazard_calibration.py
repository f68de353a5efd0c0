"""Calibration of a hazard: one slope and one intercept on the log-odds of all its intervals, fitted on out-of-fold rows.

Hazards are calibrated, not the probabilities up to each horizon: those are products of hazards, so after calibration, too, they
never fall from one horizon to the next, and the reasons for a hazard stay additive. What taught is known only as far as it was
when the judged fold began.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import find_test_start
from epic22.core.evaluation.calibration import (
    EXTRAPOLATION_SLOPE,
    Calibration,
    CalibrationLoss,
    CalibrationMethod,
    compute_calibration_loss,
)
from epic22.core.evaluation.logistic import fit_logistic
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.experiment import Experiment
from epic22.core.models.hazard import compute_at_risk, compute_hazard_log_odds
from epic22.core.targets import KINDS
from epic22.core.task import Array


@dataclass(frozen=True)
class HazardScores:
    """Out-of-fold log-odds of the hazard (m, h) and outcomes y (m, 2), a row a test row of a fold; `row` (m,) is its example.

    `fold` (m,) counts folds, `repeat` (m,) the repeated splits, `cluster` (m,) are codes of dependent rows.
    """

    raw: Array
    y: Array
    edges: tuple[float, ...]
    row: Array
    fold: Array
    repeat: Array
    cluster: Array
    fold_predictions: tuple[FoldPredictions, ...]
    examples: Examples
    delay: float

    @classmethod
    def of(cls, experiment: Experiment, predictions: tuple[FoldPredictions, ...]) -> "HazardScores":
        """The parts of an evaluation as one table."""
        examples = experiment.examples
        row, size = np.concatenate([part.fold.test for part in predictions]), [len(part.fold.test) for part in predictions]
        return cls(
            raw=compute_hazard_log_odds(np.concatenate([part.response for part in predictions])),
            y=examples.Y[row],
            edges=experiment.task.target.horizons,
            row=row,
            fold=np.repeat(np.arange(len(predictions)), size),
            repeat=np.repeat([part.fold.repeat for part in predictions], size),
            cluster=experiment.get_clusters(row),
            fold_predictions=predictions,
            examples=examples,
            delay=experiment.plan.embargo,
        )

    def iterate_splits(self) -> Iterator[tuple[Array, Array, Array]]:
        """(calibration rows, their outcomes as known when the evaluated fold began, evaluation rows) per fold."""
        for number, part in enumerate(self.fold_predictions):
            evaluation_rows, start = np.flatnonzero(self.fold == number), find_test_start(self.examples, part.fold)
            if start is None:
                others = (self.fold != number) & (self.repeat == part.fold.repeat)
            else:
                others = (self.fold < number) & (self.examples.at[self.row] < start)
            calibration_rows = np.flatnonzero(others)
            yield calibration_rows, self.examples.take(self.row[calibration_rows]).censor_at(start, self.delay).Y, evaluation_rows

    @property
    def calibratable(self) -> Array:
        """Rows (m,) of the first repeat that other folds can calibrate; all of it where none can be."""
        first_repeat, mask = self.repeat == self.repeat.min(), np.zeros(len(self.row), dtype=bool)
        for calibration_rows, known, evaluation_rows in self.iterate_splits():
            mask[evaluation_rows] = len(calibration_rows) > 0 and bool(known[:, 1].any())
        return np.asarray(first_repeat & mask if (first_repeat & mask).any() else first_repeat)


def fit_hazard_calibration(raw: Array, y: Array, edges: tuple[float, ...]) -> Calibration:
    """Slope and intercept on the log-odds of the hazards, by the likelihood of what was seen; none where no event was."""
    at_risk, events = compute_at_risk(y, edges)
    if not events.any():
        return Calibration()
    z, target, weight = raw.ravel()[:, None], events.ravel(), at_risk.ravel()
    slope, intercept = fit_logistic(z, target, weight)
    if slope <= 0:
        slope, intercept = EXTRAPOLATION_SLOPE, fit_logistic(z[:, :0], target, weight)[0]
    return Calibration("platt", (float(slope), float(intercept)))


def compute_hazard_losses(calibration: Calibration, raw: Array, y: Array, edges: tuple[float, ...]) -> Array:
    """Negative log-likelihood of each row (n,), in nats, over the intervals in which it was seen."""
    at_risk, events = compute_at_risk(y, edges)
    z = calibration.log_odds(raw)
    return np.asarray((at_risk * (np.logaddexp(0.0, z) - events * z)).sum(axis=1))


def choose_hazard_calibration(scores: HazardScores) -> tuple[Calibration, tuple[CalibrationLoss, ...]]:
    """The calibration fitted on all rows, where it gains more than its paired standard error over clusters; else none."""
    table = _compute_loss_table(scores)
    if not table or table[1].gain <= table[1].error:
        return Calibration(), table
    return fit_hazard_calibration(scores.raw, scores.y, scores.edges), table


def _compute_loss_table(scores: HazardScores) -> tuple[CalibrationLoss, ...]:
    kinds: tuple[CalibrationMethod, ...] = ("none", "platt")
    losses_by_kind = {kind: np.full(len(scores.row), np.nan) for kind in kinds}
    for calibration_rows, known, evaluation_rows in scores.iterate_splits():
        if len(calibration_rows):
            fitted = fit_hazard_calibration(scores.raw[calibration_rows], known, scores.edges)
            for losses, calibration in zip(losses_by_kind.values(), (Calibration(), fitted), strict=True):
                losses[evaluation_rows] = compute_hazard_losses(
                    calibration, scores.raw[evaluation_rows], scores.y[evaluation_rows], scores.edges
                )
    evaluation_rows = np.flatnonzero(~np.isnan(losses_by_kind["none"]))
    if not len(evaluation_rows):
        return ()
    cluster, uncalibrated = scores.cluster[evaluation_rows], losses_by_kind["none"][evaluation_rows]
    return tuple(
        compute_calibration_loss(kind, losses[evaluation_rows], uncalibrated, cluster) for kind, losses in losses_by_kind.items()
    )


def calibrate_incidence(scores: HazardScores) -> Array:
    """Probabilities up to each horizon, (m, h), each calibrated by other folds than its own, the choice made anew by them too.

    Where there are no calibration rows (the first of forward folds) they are left as they are.
    """
    z = scores.raw.copy()
    for calibration_rows, known, evaluation_rows in scores.iterate_splits():
        if len(calibration_rows):
            z[evaluation_rows] = _choose_by_last_fold(scores, calibration_rows, known).log_odds(scores.raw[evaluation_rows])
    return KINDS["hazard"].inverse_link(z)


def _choose_by_last_fold(scores: HazardScores, calibration_rows: Array, outcomes: Array) -> Calibration:
    """The calibration that rows choose among themselves: fitted on all but their last fold and judged on it."""
    last = scores.fold[calibration_rows] == scores.fold[calibration_rows].max()
    raw, edges = scores.raw[calibration_rows], scores.edges
    if last.all():
        return fit_hazard_calibration(raw, outcomes, edges)
    trial = fit_hazard_calibration(raw[~last], outcomes[~last], edges)
    calibrated, uncalibrated = (compute_hazard_losses(c, raw[last], outcomes[last], edges) for c in (trial, Calibration()))
    loss = compute_calibration_loss("platt", calibrated, uncalibrated, scores.cluster[calibration_rows][last])
    return fit_hazard_calibration(raw, outcomes, edges) if loss.gain > loss.error else Calibration()
