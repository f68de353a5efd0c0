"""The families compared where they are used: short lists, money per 1,000 rows, and whether a simpler one is as good."""

from dataclasses import dataclass

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.errors import UserError
from epic22.core.evaluation.calibrate import calibrated_out_of_fold, out_of_fold
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.learning_curve import LearningCurve
from epic22.core.evaluation.non_inferiority import Choice, NonInferiority, choose, default_margin, non_inferior
from epic22.core.evaluation.operating_points import CONSTANT, Contestant, OperatingPoint, operating_points
from epic22.core.evaluation.yardsticks import INCUMBENT
from epic22.core.models.catalog import family_named
from epic22.core.task import Task
from epic22.services.worth import as_parts, cost_matrix


@dataclass(frozen=True)
class Comparison:
    """A figure where it is used, of every family on the board; `weighed` against the champion in money, and the `choice`.

    Empty for targets that are not binary; without costs only the lists and the accuracy are known, and nothing is weighed.
    `curve` where it was asked for.
    """

    points: tuple[OperatingPoint, ...] = ()
    weighed: tuple[NonInferiority, ...] = ()
    choice: Choice | None = None
    curve: LearningCurve | None = None


def compare_in_use(
    task: Task, examples: Examples, plan: FoldPlan, leaderboard: tuple[Evaluation, ...], champion: Evaluation, seed: int
) -> Comparison:
    """The board's families in use. `champion` is the best by the metric; the choice may name a simpler family.

    Raises UserError where a simpler family was asked for and the task has no costs to say what is as good.
    """
    if task.prefer_simpler and not task.costs:
        raise UserError("a simpler model is preferred where it costs no more: state what a miss and a false alarm cost.")
    if task.target.kind != "binary":
        return Comparison()
    if not task.costs:
        bare = [Contestant(e, e.parts) for e in leaderboard]
        return Comparison(operating_points(bare, None, examples, plan, seed))
    costs = cost_matrix(task.costs, examples.exposure)
    board = [_contestant(e, examples, plan) for e in leaderboard]
    points = operating_points(board, costs, examples, plan, seed)
    by_name = {one.evaluation.family: one for one in board}
    best = by_name[champion.family]
    margin = task.margin if task.margin is not None else default_margin(by_name[CONSTANT], costs, examples, plan, seed)
    rivals = [one for one in board if one is not best and not is_baseline(one.evaluation.family)]
    weighed = tuple(non_inferior(one, best, margin, costs, examples, plan, seed) for one in rivals)
    choice = choose(champion.family, weighed, task.prefer_simpler)
    return Comparison(points, weighed, None if is_baseline(champion.family) else choice)


def is_baseline(family: str) -> bool:
    """Whether a name on the board is a rule to be beaten."""
    return family == INCUMBENT or family_named(family).is_baseline


def _contestant(evaluation: Evaluation, examples: Examples, plan: FoldPlan) -> Contestant:
    """A family decides by probabilities that other folds calibrated; a baseline by what it says."""
    if is_baseline(evaluation.family):
        return Contestant(evaluation, evaluation.parts)
    p = calibrated_out_of_fold(out_of_fold(evaluation.parts, examples, plan))
    return Contestant(evaluation, as_parts(p, evaluation.parts))
