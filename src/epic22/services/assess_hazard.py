"""What a hazard's champion is worth: calibrated at every horizon, and in money and fair at the one that decides."""

from dataclasses import replace

import numpy as np

from epic22.core.evaluation.baselines import evaluate_responses
from epic22.core.evaluation.calibration import OutOfFoldScores, compute_log_odds
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.cumulative_incidence import compute_horizon_reliability, compute_incidence_curves
from epic22.core.evaluation.hazard_calibration import HazardScores, calibrate_incidence, choose_hazard_calibration
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.survival import find_horizon_index, label_at_horizon
from epic22.core.experiment import Experiment
from epic22.core.task import Array
from epic22.services.assess import CALIBRATED, Assessment, Reliability, Savings, assess_fairness, compute_savings, split_by_fold


def assess_hazard(
    experiment: Experiment, champion: Evaluation, leaderboard: tuple[Evaluation, ...], oracle: Evaluation | None
) -> Assessment:
    """The worth of a hazard's champion, on out-of-fold rows calibrated by other folds than their own.

    Money, fairness and the reliability of the deciding horizon are counted on rows that were followed that far: which are,
    hangs on their cutoff alone.
    """
    task, examples = experiment.task, experiment.examples
    horizon_index, edges = find_horizon_index(task.target), task.target.horizons
    hazard_scores = HazardScores.of(experiment, champion.fold_predictions)
    calibration, losses = choose_hazard_calibration(hazard_scores)
    before, after = task.target.traits.inverse_link(hazard_scores.raw), calibrate_incidence(hazard_scores)
    evaluated = np.flatnonzero(hazard_scores.calibratable)
    followed = (
        evaluated
        if examples.follow_up_days is None
        else evaluated[examples.follow_up_days[hazard_scores.row[evaluated]] >= edges[horizon_index]]
    )
    scores, p = _binary_scores(hazard_scores, before[:, horizon_index], edges[horizon_index]), after[:, horizon_index]
    leaderboard_at_horizon = [_select_horizon(evaluation, horizon_index) for evaluation in leaderboard]
    oracle_at_horizon = None if oracle is None else _select_horizon(oracle, horizon_index)
    known = len(followed) > 0
    savings = (
        compute_savings(experiment, scores, followed, p, tuple(leaderboard_at_horizon), oracle_at_horizon) if known else Savings()
    )
    return Assessment(
        calibration=calibration,
        losses=losses,
        evaluation=evaluate_responses(experiment, CALIBRATED, split_by_fold(after, champion.fold_predictions)),
        before=Reliability.of(scores.y[followed], before[followed, horizon_index]),
        after=Reliability.of(scores.y[followed], p[followed]),
        costs=task.costs,
        capacity=savings.capacity,
        savings=savings.limited,
        unlimited=savings.unlimited,
        bands=None,
        band_figures=(),
        band_order=None,
        fairness=assess_fairness(experiment, scores, followed, p, None, savings.capacity) if known else None,
        by_horizon=compute_horizon_reliability(hazard_scores.y[evaluated], before[evaluated], after[evaluated], edges),
        curves=compute_incidence_curves(hazard_scores.y[evaluated], after[evaluated], edges, horizon_index),
    )


def _binary_scores(hazard_scores: HazardScores, p: Array, horizon: float) -> OutOfFoldScores:
    """The rows as a target of two classes at a horizon; those who were not followed so far count as classless zeros."""
    return OutOfFoldScores(
        raw=compute_log_odds(p),
        y=label_at_horizon(hazard_scores.y, horizon)[0],
        fold=hazard_scores.fold,
        repeat=hazard_scores.repeat,
        cluster=hazard_scores.cluster,
        row=hazard_scores.row,
        forward=False,
    )


def _select_horizon(evaluation: Evaluation, horizon_index: int) -> Evaluation:
    parts = tuple(FoldPredictions(part.fold, part.response[:, horizon_index]) for part in evaluation.fold_predictions)
    return replace(evaluation, fold_predictions=parts)
