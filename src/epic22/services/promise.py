"""What is promised with an answer, an interval or a set of classes, and whether it was kept on rows that did not make it."""

from dataclasses import dataclass, replace

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.calibrate import Calibration
from epic22.core.evaluation.conformal import AnyBand, ClassSets, fit_sets
from epic22.core.evaluation.coverage import Coverage, coverage_of, judge_intervals, judge_sets, probabilities
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.held_out import held_out
from epic22.core.evaluation.interval_choice import BandLoss, choose_band
from epic22.core.task import Task

UNJUDGED = "no fold could be judged by others that knew nothing of it: bring more rows, or a longer history"


@dataclass(frozen=True)
class Promise:
    """The band of values with the table it was chosen by, or the sets of classes.

    `coverage` is None where no rows could be judged, and `note` then says why.
    """

    band: AnyBand | None = None
    losses: tuple[BandLoss, ...] = ()
    sets: ClassSets | None = None
    coverage: Coverage | None = None
    note: str = ""


def promised(task: Task, examples: Examples, plan: FoldPlan, champion: Evaluation, calibration: Calibration) -> Promise:
    """Band or sets from the champion's out-of-fold responses, for two classes after `calibration`, and what they covered.

    Kinds of targets that state their own quantiles or curves get nothing.
    """
    if task.target.kind not in ("binary", "multiclass", "regression"):
        return Promise()
    rows = held_out(champion.parts, examples, plan)
    if task.target.kind == "regression":
        band, losses = choose_band(rows)
        made = Promise(band, losses)
        judged = judge_intervals(rows)
    else:
        made = Promise(sets=fit_sets(probabilities(rows.response, calibration), rows.y, rows.weight))
        judged = judge_sets(rows)
    if judged is None:
        return replace(made, note=UNJUDGED)
    return replace(made, coverage=coverage_of(judged, task.target, examples, plan, task.coverage_by))
