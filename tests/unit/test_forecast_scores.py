"""Scores of forecasts by hand, and intervals that know how little evidence overlapping origins are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.panels import known, lines

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.errors import SplitError
from epic22.core.evaluation.backtest import Backtest, OriginPlan, plan_origins
from epic22.core.evaluation.forecast_metrics import (
    FORECAST_METRICS,
    ForecastMetric,
    ScoredRows,
    compare_forecasts,
    compute_naive_scales,
    compute_score_with_interval,
    sum_by_origin,
)
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.progress import Progress
from epic22.core.statistics import adjust_p_values
from epic22.core.time_series import MONTHLY, Array
from epic22.services.pipelines.forecast_scores import compare_champion, score_backtests

H = 3
PLAN = OriginPlan(np.arange(20, 30), np.arange(30, 50), H, MONTHLY)


def scored(Y: Array, drift: Array, origins: int = 20) -> ScoredRows:
    n, plan = len(Y), replace(PLAN, test=np.arange(30, 30 + origins))
    return ScoredRows(Y, drift, np.full(n, 100.0), np.full(n, 2.0), np.full(n, 4.0), np.arange(n) % origins, plan, H)


LUCKY = 0
"""A seed by which one of several rivals is beaten by luck."""

METRICS = {metric.name: metric for metric in FORECAST_METRICS}


def compute_forecast_score(metric: ForecastMetric, rows: ScoredRows, quantiles: Array, horizon: int | None = None) -> float:
    """The metric at one horizon, or over all of them, without resampling."""
    columns = slice(None) if horizon is None or metric.trend_only else [horizon - 1]
    sums = sum_by_origin(metric, rows, quantiles)
    return float(metric.finish(*sums[:, :, [rows.trend_horizon - 1] if metric.trend_only else columns].sum(axis=(1, 2))))


def around(median: Array, half: float) -> Array:
    return np.stack([median + (level - 0.5) / 0.4 * half for level in QUANTILE_LEVELS], axis=2)


def test_scores_are_what_the_hand_computes() -> None:
    Y = np.full((20, H), 110.0)
    rows, q = scored(Y, np.full_like(Y, 100.0)), around(np.full_like(Y, 105.0), half=4.0)
    expected = {
        "skill": 0.5,
        "mean_absolute_percentage_error": 100 * 5 / 110,
        "symmetric_mape": 100 * 5 / 107.5,
        "mean_absolute_error": 5.0,
        "mase": 2.5,
        "rmsse": 2.5,
        "coverage_80": 0.0,
        "width_80": 4.0,
        "winkler_80": (8 + 10 * 1.0) / 2,
        "trend_accuracy": 1.0,
        "trend_balanced_accuracy": 1.0,
    }
    for name, value in expected.items():
        assert compute_forecast_score(METRICS[name], rows, q) == pytest.approx(value), name
    pinball = np.mean([level * (110 - (105 + (level - 0.5) / 0.4 * 4)) for level in QUANTILE_LEVELS]) / 2
    assert compute_forecast_score(METRICS["pinball"], rows, q, 1) == pytest.approx(pinball)


def test_a_rule_that_always_says_stable_has_the_constants_balanced_accuracy() -> None:
    Y = np.tile(np.array([[110.0], [90.0], [100.5], [112.0]]), (5, H))
    rows, q = scored(Y, Y), around(np.full((20, H), 100.0), 1.0)
    assert compute_forecast_score(METRICS["trend_balanced_accuracy"], rows, q, 1) == pytest.approx(1 / 3)
    assert compute_forecast_score(METRICS["trend_accuracy"], rows, q, 1) == pytest.approx(0.25)


def test_a_missing_target_is_not_scored() -> None:
    Y = np.full((20, H), 110.0)
    Y[::2] = np.nan
    rows, q = scored(Y, np.full_like(Y, 100.0)), around(np.full_like(Y, 105.0), 4.0)
    for metric in FORECAST_METRICS:
        full = np.full((20, H), 110.0)
        other = scored(full, np.full_like(full, 100.0))
        assert compute_forecast_score(metric, rows, q) == pytest.approx(compute_forecast_score(metric, other, q)), metric.name
    none = replace(rows, Y=np.full((20, H), np.nan))
    assert all(math.isnan(compute_forecast_score(metric, none, q)) for metric in FORECAST_METRICS)


def test_long_blocks_make_intervals_wider_where_origins_are_alike() -> None:
    rng = np.random.default_rng(0)
    shock = np.repeat(rng.normal(0, 5, 5), 4)
    Y = (100 + shock)[:, None] + rng.normal(0, 0.1, (20, H))
    rows, q = scored(Y, np.full_like(Y, 90.0)), around(np.full_like(Y, 100.0), 4.0)
    metric = METRICS["mean_absolute_error"]
    near, far = (compute_score_with_interval(metric, rows, q, h) for h in (1, 3))
    assert far.high - far.low > near.high - near.low
    assert (near.blocks, round(far.blocks, 2)) == (20.0, 6.67)


def test_nothing_is_claimed_from_few_independent_stretches_however_clear_it_looks() -> None:
    """Signs of five independent differences can give a p of 6 %, and no less."""
    Y = np.full((17, H), 110.0) + np.arange(17)[:, None] / 10
    rows = scored(Y, np.full_like(Y, 100.0), origins=17)
    good, bad = around(Y - 0.1, 1.0), around(np.full_like(Y, 100.0), 1.0)
    skill = METRICS["skill"]
    pooled = compare_forecasts(("good", "bad"), (good, bad), skill, rows, "all")
    assert pooled.difference.low > 0
    assert (pooled.enough_data, pooled.certain, pooled.p) == (False, False, 0.0625)
    assert "5 independent stretches of time can show nothing" in pooled.advice
    assert "hold 3 months more out" in pooled.advice
    first = compare_forecasts(("good", "bad"), (good, bad), skill, rows, 1)
    assert first.enough_data
    turned = compare_forecasts(("bad", "good"), (bad, good), skill, rows, 1)
    assert turned.difference.value == pytest.approx(-first.difference.value)


def test_one_stretch_has_no_interval_and_no_verdict() -> None:
    Y = np.full((4, H), 110.0) + np.arange(4)[:, None] / 10
    rows = scored(Y, np.full_like(Y, 100.0), origins=4)
    good, bad = around(Y - 0.1, 1.0), around(np.full_like(Y, 100.0), 1.0)
    verdict = compare_forecasts(("good", "bad"), (good, bad), METRICS["skill"], rows, "all")
    assert (verdict.p, verdict.certain) == (1.0, False)
    assert math.isnan(verdict.difference.low)
    assert "1 independent stretches of time can show nothing" in verdict.advice


def test_of_each_figure_p_allows_for_all_rivals_so_that_one_of_them_alone_is_no_finding() -> None:
    """A champion that is as good as four rivals, of whom it beats one by luck."""
    rng = np.random.default_rng(LUCKY)
    Y = rng.normal(110, 1, (24, H))
    rows = scored(Y, Y + rng.normal(size=Y.shape), origins=24)
    names = ("theta", "naive", "drift", "damped_drift", "seasonal_naive", "ets", "pooled_linear")
    forecasts = [Backtest(name, around(Y + rng.normal(size=Y.shape), 1.0), 0.0, 0.0) for name in names]
    board = score_backtests(forecasts, np.arange(24), rows, Progress())
    champion = next(one for one in board if one.family == "theta")
    verdicts = compare_champion(champion, board, np.arange(24), rows)
    figures = {(verdict.metric, verdict.horizon) for verdict in verdicts}
    assert figures == {("skill", "all"), ("skill", 1), ("skill", 3), ("pinball", "all")}
    for figure in figures:
        each = [verdict for verdict in verdicts if (verdict.metric, verdict.horizon) == figure]
        assert {verdict.against for verdict in each} > {"naive", "drift", "damped_drift", "seasonal_naive"}
        assert len(each) == 5
        assert [verdict.p_adjusted for verdict in each] == list(adjust_p_values([verdict.p for verdict in each]))
    by_luck = [verdict for verdict in verdicts if verdict.enough_data and not verdict.certain]
    assert by_luck
    assert all("all comparisons together do not" in verdict.words and not verdict.better for verdict in by_luck)


def test_comparing_is_paired_by_origin() -> None:
    rng = np.random.default_rng(1)
    Y = np.full((20, H), 110.0)
    shock = rng.normal(0, 20, 20)[:, None] * np.ones((1, H))
    rows = scored(Y, np.full_like(Y, 60.0))
    metric = METRICS["mean_absolute_error"]
    close, closer = around(Y + np.abs(shock) + 1.0, 1.0), around(Y + np.abs(shock), 1.0)
    verdict = compare_forecasts(("closer", "close"), (closer, close), metric, rows, 1)
    assert verdict.difference.value == pytest.approx(1.0)
    # What is left is that no difference is without an error: far less than the shocks, which both share.
    assert verdict.difference.high - verdict.difference.low < 0.3


def test_the_naive_scale_of_a_row_is_from_its_own_past() -> None:
    values = lines(series=3, periods=60)
    noisy = values.copy()
    noisy[:, 40:] *= 7
    one, other = (PanelExamples(known(v, 40), np.zeros((3, 1)), "") for v in (values, noisy))
    assert np.array_equal(compute_naive_scales(one, 12)[0], compute_naive_scales(other, 12)[0])
    steps = np.abs(values[:, 12:40] - values[:, :28])
    assert compute_naive_scales(one, 12)[0] == pytest.approx(steps.mean(axis=1))


def test_a_series_of_zeros_has_the_size_of_the_others_of_its_panel() -> None:
    values = lines(series=3, periods=60)
    values[0] = 0.0
    scale, square = compute_naive_scales(PanelExamples(known(values, 40), np.zeros((3, 1)), ""), 12)
    typical = 1e-3 * np.median(values[1:, 39])
    assert (scale[0], square[0]) == pytest.approx((typical, typical**2))
    assert (scale[1:] > typical).all()
    alone = PanelExamples(known(values[:1], 40), np.zeros((1, 1)), "")
    assert 0 < compute_naive_scales(alone, 12)[0][0] < 1e-9


def test_the_plan_holds_every_target_of_its_test_origins_in_the_holdout() -> None:
    plan = plan_origins(first=0, last=117, horizon=12, frequency=MONTHLY, holdout=36, min_history=24)
    assert len(plan.test) == 25
    assert (plan.test[0] + 1, plan.test[-1] + 12) == (82, 117)
    assert plan.earlier[-1] == plan.test[0] - 1
    assert [len(b) for b in plan.split_blocks()] == [12, 12, 12, 12, 12, 1]
    assert sum(plan.split_blocks()[3] == plan.test[:12]) == 12


@pytest.mark.parametrize(("last", "horizon", "holdout", "said"), [(20, 12, None, "too few"), (80, 12, 6, "shorter than")])
def test_a_panel_too_short_for_its_horizon_is_refused(last: int, horizon: int, holdout: int | None, said: str) -> None:
    with pytest.raises(SplitError, match=said):
        plan_origins(0, last, horizon, MONTHLY, holdout, min_history=24)


def test_coverage_is_of_the_series_that_have_moved() -> None:
    values = lines(series=3, periods=60)
    values[0] = 50.0
    histories = known(values, 40)
    plan = OriginPlan(np.arange(100), np.array([int(histories.origin[0])]), H, MONTHLY)
    rows = ScoredRows.of(PanelExamples(histories, np.repeat(values[:, 39:40], H, axis=1), ""), np.zeros((3, H)), plan, 12, H)
    q = around(rows.Y, half=1.0)
    q[1] += 1e3
    assert compute_forecast_score(METRICS["coverage_80"], rows, q) == pytest.approx(50.0)


def test_in_a_history_shorter_than_a_cycle_the_naive_error_is_that_of_no_change() -> None:
    values = lines(series=3, periods=50)
    examples = PanelExamples(known(values, 40), np.zeros((3, 1)), "")
    assert compute_naive_scales(examples, 52)[0] == pytest.approx(np.abs(np.diff(values[:, :40], axis=1)).mean(axis=1))
