"""The families compared where they are used: short lists, money per 1,000 rows, and whether a simpler one is as good."""

from dataclasses import dataclass

from epic22.core.errors import UserError
from epic22.core.evaluation.baselines import INCUMBENT
from epic22.core.evaluation.calibration import calibrate_out_of_fold, collect_out_of_fold_scores
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.learning_curve import LearningCurve
from epic22.core.evaluation.non_inferiority import (
    NonInferiority,
    PreferredFamily,
    choose_preferred_family,
    compute_default_margin,
    run_non_inferiority_test,
)
from epic22.core.evaluation.operating_points import CONSTANT, CalibratedCandidate, OperatingPoint, compute_operating_points
from epic22.core.experiment import Experiment
from epic22.core.models.catalog import get_family
from epic22.services.assess import build_cost_matrix, split_by_fold


@dataclass(frozen=True)
class Comparison:
    """A figure where it is used, of every family on the board; `non_inferiority` to the champion in money, and the `preferred`.

    Empty for targets that are not binary; without costs only the lists and the accuracy are known, and nothing is weighed.
    `curve` where it was asked for.
    """

    operating_points: tuple[OperatingPoint, ...] = ()
    non_inferiority: tuple[NonInferiority, ...] = ()
    preferred: PreferredFamily | None = None
    curve: LearningCurve | None = None


def compare_in_use(experiment: Experiment, leaderboard: tuple[Evaluation, ...], champion: Evaluation) -> Comparison:
    """The board's families in use. `champion` is the best by the metric; the choice may name a simpler family.

    Raises UserError where a simpler family was asked for and the task has no costs to say what is as good.
    """
    task = experiment.task
    if task.policy.prefer_simpler and not task.costs:
        raise UserError("a simpler model is preferred where it costs no more: state what a miss and a false alarm cost.")
    if not task.target.traits.has_positive_class:
        return Comparison()
    if not task.costs:
        bare = [CalibratedCandidate(e, e.fold_predictions) for e in leaderboard]
        return Comparison(compute_operating_points(experiment, bare, None))
    costs = build_cost_matrix(task.costs, experiment.examples.stake)
    board = [_calibrate_candidate(experiment, e) for e in leaderboard]
    points = compute_operating_points(experiment, board, costs)
    by_name = {one.evaluation.family: one for one in board}
    best = by_name[champion.family]
    margin = (
        task.policy.non_inferiority_margin
        if task.policy.non_inferiority_margin is not None
        else compute_default_margin(experiment, by_name[CONSTANT], costs)
    )
    rivals = [one for one in board if one is not best and not is_baseline(one.evaluation.family)]
    tests = tuple(run_non_inferiority_test(experiment, one, best, costs, margin) for one in rivals)
    preferred = choose_preferred_family(champion.family, tests, task.policy.prefer_simpler)
    return Comparison(points, tests, None if is_baseline(champion.family) else preferred)


def is_baseline(family: str) -> bool:
    """Whether a name on the board is a rule to be beaten."""
    return family == INCUMBENT or get_family(family).is_baseline


def _calibrate_candidate(experiment: Experiment, evaluation: Evaluation) -> CalibratedCandidate:
    """A family decides by probabilities that other folds calibrated; a baseline by what it says."""
    if is_baseline(evaluation.family):
        return CalibratedCandidate(evaluation, evaluation.fold_predictions)
    p = calibrate_out_of_fold(collect_out_of_fold_scores(experiment, evaluation.fold_predictions))
    return CalibratedCandidate(evaluation, split_by_fold(p, evaluation.fold_predictions))
