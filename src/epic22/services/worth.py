"""What the champion's score is worth: calibrated, in money, in bands, and fair; for binary targets.

Everything is measured on out-of-fold rows, with probabilities calibrated by other folds than their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from epic22.core.data.examples import Examples
from epic22.core.data.split import FoldPlan
from epic22.core.evaluation.bands import BANDS, BandFigures, BandOrder, RiskBands, band_figures, band_order, fit_bands
from epic22.core.evaluation.calibrate import (
    Calibration,
    CalibrationLoss,
    OutOfFold,
    calibrated_out_of_fold,
    choose_calibration,
    out_of_fold,
)
from epic22.core.evaluation.crossval import Evaluation, FoldResponse
from epic22.core.evaluation.decide import Capacity, CostMatrix, Scored
from epic22.core.evaluation.fairness import FairnessVerdict, adverse_impact, judge_fairness
from epic22.core.evaluation.incidence import HorizonReliability, IncidenceCurve
from epic22.core.evaluation.reliability import (
    Recalibration,
    ReliabilityBin,
    brier_skill_score,
    calibration_error_floor,
    expected_calibration_error,
    recalibration,
    reliability_table,
)
from epic22.core.evaluation.savings import Cases, Saving, listed, saving
from epic22.core.evaluation.yardsticks import BEST_POSSIBLE, INCUMBENT, evaluation_of
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
            calibration_error_floor(p),
            recalibration(y, p),
            brier_skill_score(y, p),
            reliability_table(y, p),
        )


@dataclass(frozen=True)
class Worth:
    """What the champion is worth besides its rank. `evaluation` are its calibrated scores on the same folds.

    `savings` is at the task's capacity, `unlimited` at the threshold of expected cost; None without costs. `bands` where the
    money at stake differs by row. `fairness` where protected classes are held. Of a hazard all but `evaluation`, `by_horizon` and
    `curves` (groups of like risk) is told at the horizon that decides.
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


def assess(
    task: Task,
    examples: Examples,
    plan: FoldPlan,
    champion: Evaluation,
    leaderboard: tuple[Evaluation, ...],
    ceiling: Evaluation | None,
    seed: int,
) -> Worth | None:
    """The worth of a binary task's champion; None for other kinds, whose value is the statement."""
    if task.target.kind != "binary":
        return None
    scores = out_of_fold(champion.parts, examples, plan)
    calibration, losses = choose_calibration(scores)
    p = calibrated_out_of_fold(scores)
    evaluation = evaluation_of(CALIBRATED, task, examples, plan, as_parts(p, champion.parts), seed)
    judged = _judged(scores)
    figures, capacity = money_of(task, examples, scores, judged, p, leaderboard, ceiling, seed)
    bands = _bands(examples, task, scores, judged, p)
    return Worth(
        calibration=calibration,
        losses=losses,
        evaluation=evaluation,
        before=Reliability.of(scores.y[judged], Calibration()(scores.raw[judged])),
        after=Reliability.of(scores.y[judged], p[judged]),
        costs=task.costs,
        capacity=capacity,
        savings=figures[0],
        unlimited=figures[1],
        bands=bands[0],
        band_figures=bands[1],
        band_order=band_order(bands[1]) if bands[1] else None,
        fairness=fairness_of(task, examples, scores, judged, p, bands[0], capacity, seed),
    )


def as_parts(p: Array, parts: tuple[FoldResponse, ...]) -> tuple[FoldResponse, ...]:
    """Responses in the order of the parts' test rows, as parts again."""
    cuts = np.cumsum([len(part.fold.test) for part in parts])[:-1]
    return tuple(FoldResponse(part.fold, piece) for part, piece in zip(parts, np.split(p, cuts), strict=True))


def _judged(scores: OutOfFold) -> Array:
    """One row an example, of the first dealing, and none that nothing could calibrate, as those of the first forward fold."""
    once = scores.dealing == scores.dealing.min()
    taught = once & scores.taught
    return np.flatnonzero(taught if taught.any() else once)


def cost_matrix(costs: Mapping[str, float], exposure: Array | None) -> CostMatrix:
    """The task's costs, a miss multiplied by the money at stake a row where there is one."""
    return CostMatrix(costs["miss"] if exposure is None else costs["miss"] * exposure, costs["false_alarm"])


def money_of(
    task: Task,
    examples: Examples,
    scores: OutOfFold,
    judged: Array,
    p: Array,
    leaderboard: tuple[Evaluation, ...],
    ceiling: Evaluation | None,
    seed: int,
) -> tuple[tuple[Saving | None, Saving | None], Capacity | None]:
    """Savings at capacity and at the threshold over the judged rows, and the capacity; nothing without costs or times."""
    if not task.costs or not examples.timed:
        return (None, None), None
    cases = _cases(task, examples, scores, judged)
    rivals = [Scored(BEST_POSSIBLE, _response(ceiling)[judged])] if ceiling is not None else []
    incumbent = next((e for e in leaderboard if e.family == INCUMBENT), None)
    rule = [] if incumbent is None or task.incumbent is None else [Scored(INCUMBENT, _response(incumbent)[judged], "ranking")]
    model = Scored(CALIBRATED, p[judged])
    capacity = Capacity(task.capacity)
    limited = None if task.capacity is None else saving(cases, model, capacity, [*rule, *rivals], seed=seed)
    return (limited, saving(cases, model, Capacity(None), rivals, seed=seed)), capacity


def _response(evaluation: Evaluation) -> Array:
    return np.concatenate([part.response for part in evaluation.parts])


def _cases(task: Task, examples: Examples, scores: OutOfFold, judged: Array) -> Cases:
    rows = scores.row[judged]
    return Cases(
        entity=examples.entity[rows],
        at=examples.at[rows],
        y=scores.y[judged],
        costs=cost_matrix(task.costs, None if examples.exposure is None else examples.exposure[rows]),
        horizon=task.target.horizon or max(task.target.horizons, default=0.0),
        cluster=scores.cluster[judged],
    )


def _bands(
    examples: Examples, task: Task, scores: OutOfFold, judged: Array, p: Array
) -> tuple[RiskBands | None, tuple[BandFigures, ...]]:
    """Bands cut on the expected loss: calibrated probability × what a miss costs."""
    if examples.exposure is None:
        return None, ()
    stake = task.costs["miss"] * examples.exposure[scores.row[judged]]
    if len(np.unique(p[judged] * stake)) < len(BANDS):
        return None, ()
    bands = fit_bands(p[judged] * stake)
    return bands, band_figures(bands, p[judged], stake, scores.y[judged])


def fairness_of(
    task: Task,
    examples: Examples,
    scores: OutOfFold,
    judged: Array,
    p: Array,
    bands: RiskBands | None,
    capacity: Capacity | None,
    seed: int,
) -> FairnessVerdict | None:
    """The adverse impact by protected class over the judged rows; None where no class is held.

    Favourable: a risk band below high; else not being on the list.
    """
    if examples.slices is None or not examples.slices.width or capacity is None:
        return None
    rows = scores.row[judged]
    if bands is not None and examples.exposure is not None:
        names = bands.named(p[judged] * task.costs["miss"] * examples.exposure[rows])
        favourable = ~np.isin(names, ADVERSE_BANDS)
    else:
        favourable = ~listed(Scored(CALIBRATED, p[judged]), _cases(task, examples, scores, judged), capacity)
    persons = scores.cluster[judged]
    impacts = [
        adverse_impact(name, favourable, examples.slices[name][rows].to_numpy(), persons, seed=seed)
        for name in examples.slices.columns
    ]
    return judge_fairness(impacts)
