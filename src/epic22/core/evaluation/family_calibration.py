"""How well a family's out-of-fold probabilities are calibrated, by the kind of target, as one record for all kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.cumulative_incidence import compute_horizon_reliability
from epic22.core.evaluation.metrics import expected_calibration_error
from epic22.core.evaluation.reliability import ReliabilityBin, compute_calibration_error_floor, compute_reliability_table
from epic22.core.experiment import Experiment
from epic22.core.task import Array, Kind, Task


@dataclass(frozen=True)
class FamilyCalibration:
    """How well a family's probabilities are calibrated, before any calibration: the expected calibration error, what noise alone
    would show, and the table behind it, of the probability of `what`."""

    error: float
    floor: float
    table: tuple[ReliabilityBin, ...]
    what: str


def measure_calibration(experiment: Experiment, evaluation: Evaluation) -> FamilyCalibration | None:
    """How well an evaluation's out-of-fold probabilities are calibrated, each row once; None for values."""
    calibrator = CALIBRATION_MEASURES.get(experiment.task.target.kind)
    if calibrator is None:
        return None
    parts = [part for part in evaluation.fold_predictions if part.fold.repeat == 0]
    y = experiment.examples.y[np.concatenate([part.fold.test for part in parts])]
    return calibrator(experiment.task, y, np.concatenate([part.response for part in parts]))


def _measure_positive_class(task: Task, y: Array, p: Array) -> FamilyCalibration:
    table = compute_reliability_table(y, p)
    return FamilyCalibration(expected_calibration_error(y, p), compute_calibration_error_floor(p), table, task.target.classes[1])


def _measure_likeliest_class(task: Task, y: Array, p: Array) -> FamilyCalibration:
    is_right, confidence = (p.argmax(axis=1) == y).astype(np.float64), p.max(axis=1)
    table, error = compute_reliability_table(is_right, confidence), expected_calibration_error(is_right, confidence)
    return FamilyCalibration(error, compute_calibration_error_floor(confidence), table, "the likeliest class")


def _measure_incidence(task: Task, y: Array, p: Array) -> FamilyCalibration | None:
    """At the horizon that decides; None where too few rows were followed up to it."""
    known = {one.horizon: one for one in compute_horizon_reliability(y, p, p, task.target.horizons)}
    at_horizon = None if task.target.horizon is None else known.get(task.target.horizon)
    if at_horizon is None:
        return None
    return FamilyCalibration(
        at_horizon.error, at_horizon.floor, at_horizon.table, f"{task.target.name} within {at_horizon.horizon:g} days"
    )


CALIBRATION_MEASURES: Mapping[Kind, Callable[[Task, Array, Array], FamilyCalibration | None]] = {
    "binary": _measure_positive_class,
    "multiclass": _measure_likeliest_class,
    "hazard": _measure_incidence,
}
"""How calibration is measured, by the kinds of target whose answers are probabilities."""
