"""What the champion's score is worth: calibrated, in money, in bands, and fair; for two classes, and for hazards at the horizon
that decides.

Everything is measured on out-of-fold rows, with probabilities calibrated by other folds than their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from epic22.core.evaluation.baselines import INCUMBENT, ORACLE
from epic22.core.evaluation.calibration import (
    Calibration,
    OutOfFoldScores,
    calibrate_out_of_fold,
    choose_calibration,
    collect_out_of_fold_scores,
)
from epic22.core.evaluation.costs import CandidateScores, Capacity, CostMatrix
from epic22.core.evaluation.crossval import Evaluation
from epic22.core.evaluation.cumulative_incidence import (
    HorizonReliability,
    IncidenceCurve,
    compute_horizon_reliability,
    compute_incidence_curves,
)
from epic22.core.evaluation.fairness import FairnessVerdict, compute_adverse_impact, judge_fairness
from epic22.core.evaluation.hazard_calibration import HazardScores, calibrate_incidence, choose_hazard_calibration
from epic22.core.evaluation.metrics import brier_skill_score, expected_calibration_error
from epic22.core.evaluation.miscalibration import Miscalibration, measure_miscalibration
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
from epic22.core.evaluation.survival import find_horizon_index, label_at_horizon
from epic22.core.experiment import Experiment
from epic22.core.task import Array

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
class Savings:
    """What acting on the scores saves: on a list of the task's `capacity`, and at the threshold of expected cost; None where that
    is not counted."""

    limited: Saving | None = None
    unlimited: Saving | None = None
    capacity: Capacity | None = None


@dataclass(frozen=True)
class Assessment:
    """What the champion is worth besides its rank.

    `risk_bands` where the money at stake differs by row. `fairness` where protected classes are held. Of a hazard all but
    `by_horizon` and `curves` (groups of like risk) is reported at the horizon that decides.
    """

    calibration: Calibration
    before: Reliability
    after: Reliability
    miscalibration: Miscalibration | None = None
    savings: Savings = field(default_factory=Savings)
    fairness: FairnessVerdict | None = None
    risk_bands: RiskBands | None = None
    band_figures: tuple[BandFigures, ...] = ()
    band_order: BandOrder | None = None
    by_horizon: tuple[HorizonReliability, ...] = ()
    curves: tuple[IncidenceCurve, ...] = ()


@dataclass(frozen=True)
class AssessedRows:
    """The rows that figures are of, (n,) each: their places among the out-of-fold rows, their rows in the examples, classes,
    calibrated probabilities, and what is drawn together."""

    places: Array
    rows: Array
    y: Array
    p: Array
    cluster: Array


def assess_binary(
    experiment: Experiment, champion: Evaluation, leaderboard: tuple[Evaluation, ...], oracle: Evaluation | None
) -> Assessment:
    """The worth of a binary task's champion."""
    scores = collect_out_of_fold_scores(experiment, champion.fold_predictions)
    calibration, _ = choose_calibration(scores)
    places = _select_evaluation_rows(scores)
    p = calibrate_out_of_fold(scores)[places]
    evaluated = AssessedRows(places, scores.row[places], scores.y[places], p, scores.cluster[places])
    savings = compute_savings(experiment, evaluated, leaderboard, oracle)
    risk_bands, figures = _fit_risk_bands(experiment, evaluated)
    return Assessment(
        calibration=calibration,
        before=Reliability.of(evaluated.y, Calibration()(scores.raw[places])),
        after=Reliability.of(evaluated.y, evaluated.p),
        miscalibration=measure_miscalibration(evaluated.y, evaluated.p, evaluated.cluster),
        savings=savings,
        fairness=assess_fairness(experiment, evaluated, risk_bands, savings.capacity),
        risk_bands=risk_bands,
        band_figures=figures,
        band_order=check_band_order(figures) if figures else None,
    )


def assess_hazard(
    experiment: Experiment, champion: Evaluation, leaderboard: tuple[Evaluation, ...], oracle: Evaluation | None
) -> Assessment:
    """The worth of a hazard's champion: calibrated at every horizon, and in money and fair at the one that decides.

    Money, fairness and the reliability of the deciding horizon are counted on rows that were followed that far: which are,
    hangs on their cutoff alone.
    """
    target, followed = experiment.task.target, experiment.examples.follow_up_days
    decisive, edges = find_horizon_index(target), target.horizons
    scores = HazardScores.of(experiment, champion.fold_predictions)
    calibration, _ = choose_hazard_calibration(scores)
    before, after = target.traits.inverse_link(scores.raw), calibrate_incidence(scores)
    calibratable = np.flatnonzero(scores.calibratable)
    places = calibratable if followed is None else calibratable[followed[scores.row[calibratable]] >= edges[decisive]]
    y = label_at_horizon(scores.y, edges[decisive])[0]
    evaluated = AssessedRows(places, scores.row[places], y[places], after[places, decisive], scores.cluster[places])
    board = tuple(_select_horizon(evaluation, decisive) for evaluation in leaderboard)
    savings = compute_savings(experiment, evaluated, board, None if oracle is None else _select_horizon(oracle, decisive))
    return Assessment(
        calibration=calibration,
        before=Reliability.of(evaluated.y, before[places, decisive]),
        after=Reliability.of(evaluated.y, evaluated.p),
        miscalibration=measure_miscalibration(evaluated.y, evaluated.p, evaluated.cluster),
        savings=savings,
        fairness=assess_fairness(experiment, evaluated, None, savings.capacity),
        by_horizon=compute_horizon_reliability(scores.y[calibratable], before[calibratable], after[calibratable], edges),
        curves=compute_incidence_curves(scores.y[calibratable], after[calibratable], edges, decisive),
    )


def _select_horizon(evaluation: Evaluation, horizon_index: int) -> Evaluation:
    parts = tuple(FoldPredictions(part.fold, part.response[:, horizon_index]) for part in evaluation.fold_predictions)
    return replace(evaluation, fold_predictions=parts)


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


def compute_savings(
    experiment: Experiment, evaluated: AssessedRows, leaderboard: tuple[Evaluation, ...], oracle: Evaluation | None
) -> Savings:
    """Savings over the evaluated rows; nothing without rows, costs or times."""
    task, seed = experiment.task, experiment.seed
    if not len(evaluated.rows) or not task.costs or not experiment.examples.has_times:
        return Savings()
    cases = _build_cases(experiment, evaluated)
    rivals = [] if oracle is None else [CandidateScores(ORACLE, _select_responses(oracle, evaluated))]
    incumbent = next((e for e in leaderboard if e.family == INCUMBENT), None)
    rule = (
        []
        if incumbent is None or task.incumbent is None
        else [CandidateScores(INCUMBENT, _select_responses(incumbent, evaluated), "ranking")]
    )
    model = CandidateScores(CALIBRATED, evaluated.p)
    capacity = Capacity(task.policy.capacity)
    limited = None if task.policy.capacity is None else estimate_savings(cases, model, capacity, [*rule, *rivals], seed=seed)
    return Savings(limited, estimate_savings(cases, model, Capacity(None), rivals, seed=seed), capacity)


def _select_responses(evaluation: Evaluation, evaluated: AssessedRows) -> Array:
    return np.concatenate([part.response for part in evaluation.fold_predictions])[evaluated.places]


def _build_cases(experiment: Experiment, evaluated: AssessedRows) -> Cases:
    task, examples, rows = experiment.task, experiment.examples, evaluated.rows
    return Cases(
        entity=examples.entity[rows],
        at=examples.at[rows],
        y=evaluated.y,
        costs=build_cost_matrix(task.costs, None if examples.stake is None else examples.stake[rows]),
        horizon=task.target.horizon or max(task.target.horizons, default=0.0),
        cluster=evaluated.cluster,
    )


def _fit_risk_bands(experiment: Experiment, evaluated: AssessedRows) -> tuple[RiskBands | None, tuple[BandFigures, ...]]:
    """Bands cut on the expected loss, calibrated probability × what a miss costs, and their figures; none where all misses cost
    alike, or the loss takes too few values."""
    at_stake = experiment.examples.stake
    if at_stake is None:
        return None, ()
    loss_of_miss = experiment.task.costs["miss"] * at_stake[evaluated.rows]
    expected_loss = evaluated.p * loss_of_miss
    if len(np.unique(expected_loss)) < len(BANDS):
        return None, ()
    risk_bands = fit_bands(expected_loss)
    return risk_bands, compute_band_figures(risk_bands, evaluated.p, loss_of_miss, evaluated.y)


def assess_fairness(
    experiment: Experiment, evaluated: AssessedRows, risk_bands: RiskBands | None, capacity: Capacity | None
) -> FairnessVerdict | None:
    """The adverse impact by protected class over the evaluated rows; None where no class is held.

    Favourable: a risk band below high; else not being on the list.
    """
    examples, rows, p = experiment.examples, evaluated.rows, evaluated.p
    if examples.slices is None or not examples.slices.width or capacity is None:
        return None
    if risk_bands is not None and examples.stake is not None:
        names = risk_bands.assign_names(p * experiment.task.costs["miss"] * examples.stake[rows])
        favourable = ~np.isin(names, ADVERSE_BANDS)
    else:
        favourable = ~select_listed_rows(CandidateScores(CALIBRATED, p), _build_cases(experiment, evaluated), capacity)
    impacts = [
        compute_adverse_impact(name, favourable, examples.slices[name][rows].to_numpy(), evaluated.cluster, seed=experiment.seed)
        for name in examples.slices.columns
    ]
    return judge_fairness(impacts)
