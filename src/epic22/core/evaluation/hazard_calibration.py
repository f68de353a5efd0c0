"""Calibration of a hazard: one slope and one intercept on the log-odds of all its intervals, fitted on out-of-fold rows.

Hazards are calibrated, not the probabilities up to each horizon: those are products of hazards, so after calibration, too, they
never fall from one horizon to the next, and the reasons for a hazard stay additive. What taught is known only as far as it was
when the judged fold began.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan, begins
from epic22.core.evaluation.calibrate import ORDER_SLOPE, Calibration, CalibrationKind, CalibrationLoss, loss_of
from epic22.core.evaluation.crossval import FoldResponse
from epic22.core.evaluation.logistic import logistic_fit
from epic22.core.models.base import link
from epic22.core.models.hazard import exposures, hazards_of
from epic22.core.task import Array


@dataclass(frozen=True)
class HazardScores:
    """Out-of-fold log-odds of the hazard (m, h) and outcomes y (m, 2), a row a test row of a fold; `row` (m,) is its example.

    `fold` (m,) counts folds, `dealing` (m,) re-dealings, `cluster` (m,) is what errs together.
    """

    raw: Array
    y: Array
    edges: tuple[float, ...]
    row: Array
    fold: Array
    dealing: Array
    cluster: Array
    parts: tuple[FoldResponse, ...]
    examples: Examples
    delay: float

    @classmethod
    def of(cls, parts: tuple[FoldResponse, ...], examples: Examples, plan: FoldPlan, edges: tuple[float, ...]) -> "HazardScores":
        """The parts of an evaluation as one table."""
        row, size = np.concatenate([part.fold.test for part in parts]), [len(part.fold.test) for part in parts]
        return cls(
            raw=hazards_of(np.concatenate([part.response for part in parts])),
            y=examples.Y[row],
            edges=edges,
            row=row,
            fold=np.repeat(np.arange(len(parts)), size),
            dealing=np.repeat([part.fold.repeat for part in parts], size),
            cluster=row if plan.clusters is None else plan.clusters[row],
            parts=parts,
            examples=examples,
            delay=plan.gap,
        )

    def turns(self) -> Iterator[tuple[Array, Array, Array]]:
        """(rows that teach, their outcomes as known when the judged fold began, rows that are judged) a fold."""
        for number, part in enumerate(self.parts):
            judged, start = np.flatnonzero(self.fold == number), begins(self.examples, part.fold)
            if start is None:
                others = (self.fold != number) & (self.dealing == part.fold.repeat)
            else:
                others = (self.fold < number) & (self.examples.at[self.row] < start)
            teach = np.flatnonzero(others)
            yield teach, self.examples.take(self.row[teach]).as_known(start, self.delay).Y, judged

    @property
    def taught(self) -> Array:
        """Rows (m,) of the first dealing that other folds can calibrate; all of it where none can be."""
        once, made = self.dealing == self.dealing.min(), np.zeros(len(self.row), dtype=bool)
        for teach, known, judged in self.turns():
            made[judged] = len(teach) > 0 and bool(known[:, 1].any())
        return np.asarray(once & made if (once & made).any() else once)


def fit_hazard_calibration(raw: Array, y: Array, edges: tuple[float, ...]) -> Calibration:
    """Slope and intercept on the log-odds of the hazards, by the likelihood of what was seen; none where no event was."""
    at_risk, events = exposures(y, edges)
    if not events.any():
        return Calibration()
    z, target, weight = raw.ravel()[:, None], events.ravel(), at_risk.ravel()
    slope, intercept = logistic_fit(z, target, weight)
    if slope <= 0:
        slope, intercept = ORDER_SLOPE, logistic_fit(z[:, :0], target, weight)[0]
    return Calibration("platt", (float(slope), float(intercept)))


def losses(calibration: Calibration, raw: Array, y: Array, edges: tuple[float, ...]) -> Array:
    """Negative log-likelihood of each row (n,), in nats, over the intervals in which it was seen."""
    at_risk, events = exposures(y, edges)
    z = calibration.log_odds(raw)
    return np.asarray((at_risk * (np.logaddexp(0.0, z) - events * z)).sum(axis=1))


def choose_hazard_calibration(scores: HazardScores) -> tuple[Calibration, tuple[CalibrationLoss, ...]]:
    """The calibration fitted on all rows, where it gains more than its paired standard error over clusters; else none."""
    table = _table(scores)
    if not table or table[1].gain <= table[1].error:
        return Calibration(), table
    return fit_hazard_calibration(scores.raw, scores.y, scores.edges), table


def _table(scores: HazardScores) -> tuple[CalibrationLoss, ...]:
    held = {kind: np.full(len(scores.row), np.nan) for kind in ("none", "platt")}
    for teach, known, judged in scores.turns():
        if len(teach):
            fitted = fit_hazard_calibration(scores.raw[teach], known, scores.edges)
            for kind, calibration in (("none", Calibration()), ("platt", fitted)):
                held[kind][judged] = losses(calibration, scores.raw[judged], scores.y[judged], scores.edges)
    judged = np.flatnonzero(~np.isnan(held["none"]))
    if not len(judged):
        return ()
    cluster = np.unique(scores.cluster[judged], return_inverse=True)[1]
    kinds: tuple[CalibrationKind, ...] = ("none", "platt")
    return tuple(loss_of(kind, held[kind][judged], held["none"][judged], cluster) for kind in kinds)


def calibrated_incidence(scores: HazardScores) -> Array:
    """Probabilities up to each horizon, (m, h), each calibrated by other folds than its own, the choice made anew by them too.

    Where nothing teaches (the first of forward folds) they are left as they are.
    """
    z = scores.raw.copy()
    for teach, known, judged in scores.turns():
        if len(teach):
            z[judged] = _chosen(scores, teach, known).log_odds(scores.raw[judged])
    return link(z, "hazard")


def _chosen(scores: HazardScores, teach: Array, known: Array) -> Calibration:
    """The calibration that rows choose among themselves: fitted on all but their last fold and judged on it."""
    last = scores.fold[teach] == scores.fold[teach].max()
    raw, edges = scores.raw[teach], scores.edges
    if last.all():
        return fit_hazard_calibration(raw, known, edges)
    trial = fit_hazard_calibration(raw[~last], known[~last], edges)
    gains = losses(Calibration(), raw[last], known[last], edges) - losses(trial, raw[last], known[last], edges)
    cluster = np.unique(scores.cluster[teach][last], return_inverse=True)[1]
    found = loss_of("platt", -gains, np.zeros(len(gains)), cluster)
    return fit_hazard_calibration(raw, known, edges) if found.gain > found.error else Calibration()
