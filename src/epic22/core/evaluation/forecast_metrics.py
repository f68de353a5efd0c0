"""Scores of forecasts by horizon, and their differences, with intervals from stretches of origins left out together.

Origins h periods apart share no target at horizon h; nearer ones do, and a shock moves all series at once. So what counts as
independent is a stretch of h neighbouring origins, all series with it: a score has the error that leaving out each stretch in
turn gives it (block jackknife, Künsch 1989), with Student's t of as many stretches as there are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import OriginPlan
from epic22.core.evaluation.interval_selection import compute_interval_scores
from epic22.core.evaluation.jackknife import (
    IndependentUnits,
    compute_jackknife_error,
    compute_overlap_factor,
    compute_p,
    cut_origins,
    discount_overlap,
)
from epic22.core.evaluation.metrics import AT_MOST_ONE, LOSS, SHARE
from epic22.core.evaluation.power import DEFAULT_MINIMUM_EFFECT, Power, SampleSize, compute_power, compute_width
from epic22.core.evaluation.significance import (
    MIN_UNITS,
    SIGNIFICANCE_LEVEL,
    Verdict,
    compute_difference_error,
    write_advice,
)
from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS
from epic22.core.statistics import Interval, MetricBounds
from epic22.core.time_series import Array

COVERAGE = 0.8
MIN_BLOCKS = 5.0
"""With fewer effective blocks no gain is shown: no family is preferred to the combination but by a wide margin."""

TREND_BOUND = 0.02
"""A rise or fall over the trend horizon by more than this share is a trend; less is stable."""

Horizon = float | Literal["all"]


@dataclass(frozen=True)
class ScoredRows:
    """What scores need of n rows at a plan's test origins: targets (n, H), the drift's forecasts, the last value, and each row's
    naive error scale.

    `scale` (n,) is the mean absolute seasonal naive error within the row's own history, `square_scale` its mean square.
    `origin_index` (n,) is the number of the row's origin among the plan's test origins. `seed` is that of the intervals' draws.
    `is_lively` (n,): the rows that coverage is of; the others have never moved, and any interval holds them. None: all.
    """

    Y: Array
    drift: Array
    last: Array
    scale: Array
    square_scale: Array
    origin_index: Array
    plan: OriginPlan
    trend_horizon: int
    target: str = ""
    seed: int = 0
    is_lively: Array | None = None

    @property
    def origins(self) -> int:
        """How many test origins there are."""
        return len(self.plan.test)

    @classmethod
    def of(cls, examples: PanelExamples, drift: Array, plan: OriginPlan, season: int, trend_horizon: int) -> "ScoredRows":
        """The rows at the plan's test origins; `drift` (n, H) are the forecasts that skill is measured against."""
        scale, square = compute_naive_scales(examples, season)
        place = np.searchsorted(plan.test, examples.origin)
        lively = examples.histories.is_lively()
        # An origin before anything has moved has a coverage too: that of all its rows.
        lively |= np.bincount(place, lively, minlength=len(plan.test))[place] == 0
        return cls(examples.Y, drift, examples.histories.last, scale, square, place, plan, trend_horizon, is_lively=lively)


def compute_naive_scales(examples: PanelExamples, season: int) -> tuple[Array, Array]:
    """Mean absolute and mean squared seasonal naive error of each row's history, (n,) each; never zero."""
    histories = examples.histories
    lines = histories.lines
    # In a history shorter than a cycle nothing lies a cycle apart; there the error is that of no change.
    lag = season if 1 < season < lines.shape[1] else 1
    change = lines[:, lag:] - lines[:, :-lag]
    known = np.isfinite(change)
    count = np.maximum(np.cumsum(known, axis=1), 1)
    absolute = np.cumsum(np.where(known, np.abs(change), 0.0), axis=1) / count
    square = np.cumsum(np.where(known, change**2, 0.0), axis=1) / count
    place = np.maximum(histories.end - 1 - lag, 0)
    size = np.abs(histories.last)
    # A history of zeros has no size of its own: by one of its own any error of it would outweigh all other series together.
    typical = float(np.median(size[size > 0])) if (size > 0).any() else 1e-9
    level = np.where(size == 0, typical, np.maximum(size, 1e-9))
    scale, squared = absolute[histories.line, place], square[histories.line, place]
    return np.where(scale > 0, scale, 1e-3 * level), np.where(squared > 0, squared, (1e-3 * level) ** 2)


@dataclass(frozen=True)
class ForecastMetric:
    """A score as a function of sums over rows: `compute_terms` gives (k, n, H) terms, `finish` makes the score of their sums (k,
    …).

    Terms are NaN where a row has no target. `trend_only`: reported at the trend horizon alone.
    """

    name: str
    greater_is_better: bool
    compute_terms: Callable[[ScoredRows, Array], tuple[Array, ...]]
    finish: Callable[..., Array]
    trend_only: bool = False
    bounds: MetricBounds = LOSS


def _compute_error(rows: ScoredRows, quantiles: Array) -> Array:
    return np.asarray(rows.Y - quantiles[:, :, MEDIAN_INDEX])


def _compute_ratio(total: Array, count: Array) -> Array:
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def _compute_percent(total: Array, count: Array) -> Array:
    return 100 * _compute_ratio(total, count)


def _mape(rows: ScoredRows, q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rows.Y != 0, np.abs(_compute_error(rows, q) / rows.Y), np.nan)


def _smape(rows: ScoredRows, q: Array) -> Array:
    size = (np.abs(rows.Y) + np.abs(q[:, :, MEDIAN_INDEX])) / 2
    return np.where(np.isnan(rows.Y), np.nan, np.abs(_compute_error(rows, q)) / np.where(size > 0, size, 1.0))


def _pinball(rows: ScoredRows, q: Array) -> Array:
    levels = np.array(QUANTILE_LEVELS)[None, None, :]
    error = rows.Y[:, :, None] - q
    return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(axis=2) / rows.scale[:, None])


def _coverage(rows: ScoredRows, q: Array) -> Array:
    is_covered = (q[:, :, 0] <= rows.Y) & (q[:, :, -1] >= rows.Y)
    is_left_out = np.isnan(rows.Y) if rows.is_lively is None else np.isnan(rows.Y) | ~rows.is_lively[:, None]
    return np.where(is_left_out, np.nan, is_covered.astype(np.float64))


def _width(rows: ScoredRows, q: Array) -> Array:
    return np.where(np.isnan(rows.Y), np.nan, (q[:, :, -1] - q[:, :, 0]) / rows.scale[:, None])


def compute_winkler(rows: ScoredRows, q: Array) -> Array:
    """The interval score of the 80 % interval in units of the naive error (Gneiting and Raftery 2007), (n, H)."""
    return np.asarray(compute_interval_scores(rows.Y, q[:, :, 0], q[:, :, -1], COVERAGE) / rows.scale[:, None])


def classify_trend(last: Array, future: Array) -> Array:
    """-1 falling, 0 stable, 1 rising by more than TREND_BOUND, NaN where `future` is missing, (n, H)."""
    bound = TREND_BOUND * np.abs(last)[:, None]
    change = future - last[:, None]
    return np.where(np.isnan(future), np.nan, np.where(change > bound, 1.0, np.where(change < -bound, -1.0, 0.0)))


def _trend_hits(rows: ScoredRows, q: Array) -> Array:
    truth, predicted = classify_trend(rows.last, rows.Y), classify_trend(rows.last, q[:, :, MEDIAN_INDEX])
    return np.where(np.isnan(truth), np.nan, (truth == predicted).astype(np.float64))


def _trend_recalls(rows: ScoredRows, q: Array) -> tuple[Array, ...]:
    truth, predicted = classify_trend(rows.last, rows.Y), classify_trend(rows.last, q[:, :, MEDIAN_INDEX])
    parts: list[Array] = []
    for kind in (-1.0, 0.0, 1.0):
        of_kind = np.where(np.isnan(truth), np.nan, (truth == kind).astype(np.float64))
        parts += [of_kind * (predicted == kind), of_kind]
    return tuple(parts)


def _average_recalls(*sums: Array) -> Array:
    recalls = np.stack([_compute_ratio(hit, count) for hit, count in zip(sums[::2], sums[1::2], strict=True)])
    present = np.isfinite(recalls)
    return np.where(present.any(axis=0), np.nansum(recalls, axis=0) / np.maximum(present.sum(axis=0), 1), np.nan)


SKILL = ForecastMetric(
    "skill",
    True,
    lambda rows, q: (np.abs(_compute_error(rows, q)), np.where(np.isnan(rows.Y), np.nan, np.abs(rows.Y - rows.drift))),
    lambda own, drift: 1 - _compute_ratio(own, drift),
    bounds=AT_MOST_ONE,
)
"""1 − Σ|error| / Σ|error of the drift|: 0 is as good as letting the last cycle's growth go on."""


def _define_mean(
    name: str,
    greater_is_better: bool,
    values: Callable[[ScoredRows, Array], Array],
    finish: Callable[..., Array] = _compute_ratio,
    trend_only: bool = False,
    bounds: MetricBounds = LOSS,
) -> ForecastMetric:
    """A score that is made of the mean of values (n, H)."""

    def pair_with_count(rows: ScoredRows, quantiles: Array) -> tuple[Array, ...]:
        terms = values(rows, quantiles)
        return terms, np.where(np.isfinite(terms), 1.0, np.nan)

    return ForecastMetric(name, greater_is_better, pair_with_count, finish, trend_only, bounds)


PINBALL = _define_mean("pinball", False, _pinball)

COVERAGE_80 = _define_mean("coverage_80", True, _coverage, _compute_percent, bounds=MetricBounds(0.0, 100.0))

FORECAST_METRICS: tuple[ForecastMetric, ...] = (
    SKILL,
    PINBALL,
    _define_mean("mean_absolute_percentage_error", False, _mape, _compute_percent),
    _define_mean("symmetric_mape", False, _smape, _compute_percent, bounds=MetricBounds(0.0, 200.0)),
    _define_mean("mean_absolute_error", False, lambda rows, q: np.abs(_compute_error(rows, q))),
    _define_mean("mase", False, lambda rows, q: np.abs(_compute_error(rows, q)) / rows.scale[:, None]),
    _define_mean(
        "rmsse",
        False,
        lambda rows, q: _compute_error(rows, q) ** 2 / rows.square_scale[:, None],
        lambda total, count: np.sqrt(_compute_ratio(total, count)),
    ),
    COVERAGE_80,
    _define_mean("width_80", False, _width),
    _define_mean("winkler_80", False, compute_winkler),
    _define_mean("trend_accuracy", True, _trend_hits, trend_only=True, bounds=SHARE),
    ForecastMetric("trend_balanced_accuracy", True, _trend_recalls, _average_recalls, trend_only=True, bounds=SHARE),
)
"""All scores of forecasts, the deciding one first. Percentages in per cent; widths and interval scores in naive errors."""


def sum_by_origin(metric: ForecastMetric, rows: ScoredRows, quantiles: Array) -> Array:
    """The metric's terms summed over the series of each test origin, (k, origins, H)."""
    summed = []
    for part in metric.compute_terms(rows, quantiles):
        sums = np.zeros((rows.origins, part.shape[1]))
        np.add.at(sums, rows.origin_index, np.nan_to_num(part))
        summed.append(sums)
    return np.stack(summed)


def _select_columns(metric: ForecastMetric, rows: ScoredRows, horizon: Horizon) -> Array:
    if metric.trend_only:
        return np.array([rows.trend_horizon - 1])
    return np.arange(rows.Y.shape[1]) if horizon == "all" else np.array([int(horizon) - 1])


def _finish_score(metric: ForecastMetric, sums: Array, columns: Array) -> Array:
    return metric.finish(*sums[:, :, columns].sum(axis=(1, 2)))


def leave_out_stretches(metric: ForecastMetric, sums: Array, columns: Array, units: IndependentUnits) -> Array:
    """The metric without each stretch in turn, (g,); NaN where it is not finite."""
    per_origin = sums[:, :, columns].sum(axis=2)
    stretches = np.zeros((len(sums), int(units.part.max()) + 1))
    np.add.at(stretches.T, units.part, per_origin.T)
    values = np.asarray(metric.finish(*(stretches.sum(axis=1, keepdims=True) - stretches)))
    return np.where(np.isfinite(values), values, np.nan)


def compute_stretches_error(values: Array, units: IndependentUnits, length: int) -> float:
    """The standard error of a figure by its values (g,) without each stretch, with what neighbouring stretches share."""
    factor = compute_overlap_factor(length, len(units.part) / (int(units.part.max()) + 1))
    return math.sqrt(factor) * compute_jackknife_error(values)


@dataclass(frozen=True)
class ForecastScore(Interval):
    """A metric at a horizon with its 95 % interval and the number of effective blocks that it rests on."""

    metric: str
    horizon: Horizon
    blocks: float


def compute_score_with_interval(metric: ForecastMetric, rows: ScoredRows, quantiles: Array, horizon: Horizon) -> ForecastScore:
    """The score with an interval from stretches of origins as long as the horizon."""
    length = get_block_length(metric, rows, horizon)
    sums, columns, units = (
        sum_by_origin(metric, rows, quantiles),
        _select_columns(metric, rows, horizon),
        cut_origins(rows.origins, length),
    )
    value = float(_finish_score(metric, sums, columns))
    error = compute_stretches_error(leave_out_stretches(metric, sums, columns, units), units, length)
    ends = metric.bounds.compute_interval(value, error, units.quantile, units.count)
    return ForecastScore(value, *ends, metric.name, horizon, rows.plan.count_effective_blocks(length, rows.origins))


def get_block_length(metric: ForecastMetric, rows: ScoredRows, horizon: Horizon) -> int:
    """Origins in a block: the horizon, the longest one where all are pooled."""
    if metric.trend_only:
        return rows.trend_horizon
    return rows.Y.shape[1] if horizon == "all" else int(horizon)


def compare_forecasts(
    names: tuple[str, str], quantiles: tuple[Array, Array], metric: ForecastMetric, rows: ScoredRows, horizon: Horizon
) -> Verdict:
    """The first against the second, paired by series and origin; a difference above zero: the first is better.

    Certain only where the interval leaves out zero and the stretches are enough to show anything: with fewer than six no test
    that changes their signs gives a p of 5 %.
    """
    length = get_block_length(metric, rows, horizon)
    columns, units = _select_columns(metric, rows, horizon), discount_overlap(cut_origins(rows.origins, length), length)
    sums = [sum_by_origin(metric, rows, q) for q in quantiles]
    sign = 1.0 if metric.greater_is_better else -1.0
    gap = sign * float(_finish_score(metric, sums[0], columns) - _finish_score(metric, sums[1], columns))
    first, second = (leave_out_stretches(metric, each, columns, units) for each in sums)
    error = compute_difference_error(gap, compute_stretches_error(first - second, units, length), units)
    difference = metric.bounds.of_difference.clip_interval(Interval.around(gap, units.quantile * error))
    p = compute_p(gap, error, units)
    significant = difference.excludes_zero and p <= SIGNIFICANCE_LEVEL
    smallest_effect = DEFAULT_MINIMUM_EFFECT * abs(float(_finish_score(metric, sums[1], columns)))
    sample = SampleSize("origins", rows.origins, None)
    power = compute_power(gap, error, smallest_effect, sample, compute_width(units.degrees_of_freedom))
    advice = "" if significant else _write_advice(power, units, length, rows.plan)
    method = f"paired block jackknife, {rows.origins} origins: {units.count} independent stretches of {length}"
    return Verdict(names[1], rows.target, horizon, metric.name, difference, p, significant, method, advice, power=power)


def _write_advice(power: Power, units: IndependentUnits, length: int, plan: OriginPlan) -> str:
    if units.least_p <= SIGNIFICANCE_LEVEL:
        return write_advice(power, units)
    needed = plan.frequency.format_periods((MIN_UNITS - units.count) * length)
    return f"{write_advice(power, units)}: hold {needed} more out"
