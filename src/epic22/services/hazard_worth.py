"""What a hazard's champion is worth: calibrated at every horizon, and in money and fair at the one that decides."""

from dataclasses import replace

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.calibrate import OutOfFold, log_odds_of
from epic22.core.evaluation.crossval import Evaluation, FoldResponse
from epic22.core.evaluation.hazard_calibration import HazardScores, calibrated_incidence, choose_hazard_calibration
from epic22.core.evaluation.incidence import horizon_reliability, incidence_curves
from epic22.core.evaluation.survival import place_of, status
from epic22.core.evaluation.yardsticks import evaluation_of
from epic22.core.models.base import link
from epic22.core.task import Array, Task
from epic22.services.worth import CALIBRATED, Reliability, Worth, as_parts, fairness_of, money_of


def assess_hazard(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    champion: Evaluation,
    leaderboard: tuple[Evaluation, ...],
    ceiling: Evaluation | None,
    seed: int,
) -> Worth:
    """The worth of a hazard's champion, on out-of-fold rows calibrated by other folds than their own.

    Money, fairness and the reliability of the deciding horizon are counted on rows that were followed that far: which are,
    hangs on their cutoff alone.
    """
    place, edges = place_of(task.target), task.target.horizons
    held = HazardScores.of(champion.parts, examples, plan, edges)
    calibration, losses = choose_hazard_calibration(held)
    before, after = link(held.raw, "hazard"), calibrated_incidence(held)
    judged = np.flatnonzero(held.taught)
    followed = judged if examples.followed is None else judged[examples.followed[held.row[judged]] >= edges[place]]
    scores, p = _two_classes(held, before[:, place], edges[place]), after[:, place]
    column = [_at_place(evaluation, place) for evaluation in leaderboard]
    best = None if ceiling is None else _at_place(ceiling, place)
    known = len(followed) > 0
    figures, capacity = (
        money_of(task, examples, scores, followed, p, tuple(column), best, seed) if known else ((None, None), None)
    )
    return Worth(
        calibration=calibration,
        losses=losses,
        evaluation=evaluation_of(CALIBRATED, task, examples, plan, as_parts(after, champion.parts), seed),
        before=Reliability.of(scores.y[followed], before[followed, place]),
        after=Reliability.of(scores.y[followed], p[followed]),
        costs=task.costs,
        capacity=capacity,
        savings=figures[0],
        unlimited=figures[1],
        bands=None,
        band_figures=(),
        band_order=None,
        fairness=fairness_of(task, examples, scores, followed, p, None, capacity, seed) if known else None,
        by_horizon=horizon_reliability(held.y[judged], before[judged], after[judged], edges),
        curves=incidence_curves(held.y[judged], after[judged], edges, place),
    )


def _two_classes(held: HazardScores, p: Array, horizon: float) -> OutOfFold:
    """The rows as a target of two classes at a horizon; those who were not followed so far count as classless zeros."""
    return OutOfFold(
        raw=log_odds_of(p),
        y=status(held.y, horizon)[0],
        fold=held.fold,
        dealing=held.dealing,
        cluster=held.cluster,
        row=held.row,
        forward=False,
    )


def _at_place(evaluation: Evaluation, place: int) -> Evaluation:
    parts = tuple(FoldResponse(part.fold, part.response[:, place]) for part in evaluation.parts)
    return replace(evaluation, parts=parts)
