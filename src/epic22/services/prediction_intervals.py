"""The champion's prediction intervals or sets of classes, and what they cover of rows that did not make them."""

from dataclasses import dataclass, replace

from epic22.core.evaluation.calibration import Calibration
from epic22.core.evaluation.conformal import ClassSets, ConformalInterval, fit_sets
from epic22.core.evaluation.coverage import Coverage, compute_coverage, compute_probabilities, evaluate_intervals, evaluate_sets
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.interval_selection import IntervalLoss, choose_interval
from epic22.core.evaluation.predictions import collect_out_of_fold_predictions
from epic22.core.experiment import Experiment

NOT_EVALUATED = "no fold could be calibrated on others that do not contain it: bring more rows, or a longer history"


@dataclass(frozen=True)
class PredictionIntervals:
    """The interval around values with the table it was chosen by, or the sets of classes.

    `coverage` is None where no rows could be judged, and `note` then says why.
    """

    interval: ConformalInterval | None = None
    losses: tuple[IntervalLoss, ...] = ()
    sets: ClassSets | None = None
    coverage: Coverage | None = None
    note: str = ""


def compute_prediction_intervals(experiment: Experiment, champion: Evaluation, calibration: Calibration) -> PredictionIntervals:
    """Interval or sets from the champion's out-of-fold responses, for two classes after `calibration`, and what they covered.

    Kinds of targets that state their own quantiles or curves get nothing.
    """
    task = experiment.task
    if task.target.traits.uncertainty is None:
        return PredictionIntervals()
    rows = collect_out_of_fold_predictions(experiment, champion.fold_predictions)
    if task.target.traits.is_regression:
        interval, losses = choose_interval(rows)
        intervals = PredictionIntervals(interval, losses)
        evaluated = evaluate_intervals(rows)
    else:
        intervals = PredictionIntervals(sets=fit_sets(compute_probabilities(rows.response, calibration), rows.y, rows.weight))
        # One test part has no other that could say which calibration is best, so none is chosen.
        evaluated = evaluate_sets(rows, is_calibrated=len(champion.fold_predictions) > 1)
    if evaluated is None:
        return replace(intervals, note=NOT_EVALUATED)
    return replace(intervals, coverage=compute_coverage(experiment, evaluated, task.policy.coverage_by))
