"""What the champion's score is worth: calibrated, in money, in bands, and fair; for binary targets.

Everything is measured on out-of-fold rows, with probabilities calibrated by other folds than their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.evaluation.baselines import INCUMBENT, ORACLE, evaluate_responses
from epic22.core.evaluation.calibration import (
    Calibration,
    CalibrationLoss,
    OutOfFoldScores,
    calibrate_out_of_fold,
    choose_calibration,
    collect_out_of_fold_scores,
)
from epic22.core.evaluation.costs import CandidateScores, Capacity, CostMatrix
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.cumulative_incidence import HorizonReliability, IncidenceCurve
from epic22.core.evaluation.fairness import FairnessVerdict, compute_adverse_impact, judge_fairness
from epic22.core.evaluation.metrics import brier_skill_score, expected_calibration_error
from epic22.core.evaluation.predictions import FoldPredictions
from epic22.core.evaluation.reliability import (
    Recalibration,
    ReliabilityBin,
    compute_calibration_error_floor,
    compute_reliability_table,
    fit_recalibration,
)
from epic22.core.evaluation.risk_bands import (
    BANDS,
    BandFigures,
    BandOrder,
    RiskBands,
    check_band_order,
    compute_band_figures,
    fit_bands,
)
from epic22.core.evaluation.savings import Cases, Saving, estimate_savings, select_listed_rows
from epic22.core.experiment import Experiment
from epic22.core.task import Array, Task

CALIBRATED = "calibrated"
ADVERSE_BANDS = ("high", "critical")


@dataclass(frozen=True)
class Reliability:
    """How well probabilities keep their word: expected calibration error beside what noise alone would show, slope and intercept
    of the recalibration (1 and 0 are best), Brier skill against the rows' own rate, and the table behind them."""

    error: float
    floor: float
    recalibration: Recalibration
    brier_skill: float
    table: tuple[ReliabilityBin, ...]

    @classmethod
    def of(cls, y: Array, p: Array) -> "Reliability":
        """Of probabilities p (n,) for classes y (n,)."""
        return cls(
            expected_calibration_error(y, p),
            compute_calibration_error_floor(p),
            fit_recalibration(y, p),
            brier_skill_score(y, p),
            compute_reliability_table(y, p),
        )


@dataclass(frozen=True)
class Assessment:
    """What the champion is worth besides its rank. `evaluation` are its calibrated scores on the same folds.

    `savings` is at the task's capacity, `unlimited` at the threshold of expected cost; None without costs. `bands` where the
    money at stake differs by row. `fairness` where protected classes are held. Of a hazard all but `evaluation`, `by_horizon` and
    `curves` (groups of like risk) is reported at the horizon that decides.
    """

    calibration: Calibration
    losses: tuple[CalibrationLoss, ...]
    evaluation: Evaluation
    before: Reliability
    after: Reliability
    costs: Mapping[str, float]
    capacity: Capacity | None
    savings: Saving | None
    unlimited: Saving | None
    bands: RiskBands | None
    band_figures: tuple[BandFigures, ...]
    band_order: BandOrder | None
    fairness: FairnessVerdict | None
    by_horizon: tuple[HorizonReliability, ...] = ()
    curves: tuple[IncidenceCurve, ...] = ()


def assess_binary(
    experiment: Experiment, champion: Evaluation, leaderboard: tuple[Evaluation, ...], oracle: Evaluation | None
) -> Assessment:
    """The worth of a binary task's champion."""
    scores = collect_out_of_fold_scores(experiment, champion.fold_predictions)
    calibration, losses = choose_calibration(scores)
    p = calibrate_out_of_fold(scores)
    evaluation = evaluate_responses(experiment, CALIBRATED, split_by_fold(p, champion.fold_predictions))
    evaluated = _select_evaluation_rows(scores)
    savings = compute_savings(experiment, scores, evaluated, p, leaderboard, oracle)
    stake = _compute_stake(experiment, scores, evaluated)
    bands = None if stake is None else _fit_risk_bands(p[evaluated] * stake)
    figures = () if bands is None or stake is None else compute_band_figures(bands, p[evaluated], stake, scores.y[evaluated])
    return Assessment(
        calibration=calibration,
        losses=losses,
        evaluation=evaluation,
        before=Reliability.of(scores.y[evaluated], Calibration()(scores.raw[evaluated])),
        after=Reliability.of(scores.y[evaluated], p[evaluated]),
        costs=experiment.task.costs,
        capacity=savings.capacity,
        savings=savings.limited,
        unlimited=savings.unlimited,
        bands=bands,
        band_figures=figures,
        band_order=check_band_order(figures) if figures else None,
        fairness=assess_fairness(experiment, scores, evaluated, p, bands, savings.capacity),
    )


def split_by_fold(p: Array, parts: tuple[FoldPredictions, ...]) -> tuple[FoldPredictions, ...]:
    """Responses in the order of the parts' test rows, as parts again."""
    boundaries = np.cumsum([len(part.fold.test) for part in parts])[:-1]
    return tuple(FoldPredictions(part.fold, piece) for part, piece in zip(parts, np.split(p, boundaries), strict=True))


def _select_evaluation_rows(scores: OutOfFoldScores) -> Array:
    """One row an example, of the first repeat, and none that nothing could calibrate, as those of the first forward fold."""
    first_repeat = scores.repeat == scores.repeat.min()
    calibrated = first_repeat & scores.calibratable
    return np.flatnonzero(calibrated if calibrated.any() else first_repeat)


def build_cost_matrix(costs: Mapping[str, float], stakes: Array | None) -> CostMatrix:
    """The task's costs, a miss multiplied by the money at stake a row where there is one."""
    return CostMatrix(costs["miss"] if stakes is None else costs["miss"] * stakes, costs["false_alarm"])


@dataclass(frozen=True)
class Savings:
    """What acting on the scores saves: on a list of the task's `capacity`, and at the threshold of expected cost; None where that
    is not counted."""

    limited: Saving | None = None
    unlimited: Saving | None = None
    capacity: Capacity | None = None


def compute_savings(
    experiment: Experiment,
    scores: OutOfFoldScores,
    evaluated: Array,
    p: Array,
    leaderboard: tuple[Evaluation, ...],
    oracle: Evaluation | None,
) -> Savings:
    """Savings over the judged rows; nothing without costs or times."""
    task, examples, seed = experiment.task, experiment.examples, experiment.seed
    if not task.costs or not examples.has_times:
        return Savings()
    cases = _build_cases(task, examples, scores, evaluated)
    rivals = [CandidateScores(ORACLE, _join_responses(oracle)[evaluated])] if oracle is not None else []
    incumbent = next((e for e in leaderboard if e.family == INCUMBENT), None)
    rule = (
        []
        if incumbent is None or task.incumbent is None
        else [CandidateScores(INCUMBENT, _join_responses(incumbent)[evaluated], "ranking")]
    )
    model = CandidateScores(CALIBRATED, p[evaluated])
    capacity = Capacity(task.policy.capacity)
    limited = None if task.policy.capacity is None else estimate_savings(cases, model, capacity, [*rule, *rivals], seed=seed)
    return Savings(limited, estimate_savings(cases, model, Capacity(None), rivals, seed=seed), capacity)


def _join_responses(evaluation: Evaluation) -> Array:
    return np.concatenate([part.response for part in evaluation.fold_predictions])


def _build_cases(task: Task, examples: Examples, scores: OutOfFoldScores, evaluated: Array) -> Cases:
    rows = scores.row[evaluated]
    return Cases(
        entity=examples.entity[rows],
        at=examples.at[rows],
        y=scores.y[evaluated],
        costs=build_cost_matrix(task.costs, None if examples.stake is None else examples.stake[rows]),
        horizon=task.target.horizon or max(task.target.horizons, default=0.0),
        cluster=scores.cluster[evaluated],
    )


def _compute_stake(experiment: Experiment, scores: OutOfFoldScores, evaluated: Array) -> Array | None:
    """What a miss of each judged row costs, (n,); None where all cost alike."""
    stake = experiment.examples.stake
    return None if stake is None else experiment.task.costs["miss"] * stake[scores.row[evaluated]]


def _fit_risk_bands(expected_loss: Array) -> RiskBands | None:
    """Bands cut on the expected loss: calibrated probability × what a miss costs; None where it takes too few values."""
    return None if len(np.unique(expected_loss)) < len(BANDS) else fit_bands(expected_loss)


def assess_fairness(
    experiment: Experiment,
    scores: OutOfFoldScores,
    evaluated: Array,
    p: Array,
    bands: RiskBands | None,
    capacity: Capacity | None,
) -> FairnessVerdict | None:
    """The adverse impact by protected class over the judged rows; None where no class is held.

    Favourable: a risk band below high; else not being on the list.
    """
    task, examples, seed = experiment.task, experiment.examples, experiment.seed
    if examples.slices is None or not examples.slices.width or capacity is None:
        return None
    rows = scores.row[evaluated]
    if bands is not None and examples.stake is not None:
        names = bands.assign_names(p[evaluated] * task.costs["miss"] * examples.stake[rows])
        favourable = ~np.isin(names, ADVERSE_BANDS)
    else:
        favourable = ~select_listed_rows(
            CandidateScores(CALIBRATED, p[evaluated]), _build_cases(task, examples, scores, evaluated), capacity
        )
    persons = scores.cluster[evaluated]
    impacts = [
        compute_adverse_impact(name, favourable, examples.slices[name][rows].to_numpy(), persons, seed=seed)
        for name in examples.slices.columns
    ]
    return judge_fairness(impacts)
