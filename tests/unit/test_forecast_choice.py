"""The combination serves by the rule for ensembles, else the best family, judged on origins that chose neither."""

from dataclasses import replace

import numpy as np
import pytest
from tests.panels import known, lines

from epic22.core.data.panel_examples import PanelExamples
from epic22.core.evaluation.backtest import Backtest, OriginPlan
from epic22.core.models.panel.base import QUANTILE_LEVELS
from epic22.core.time_series import MONTHLY, Array
from epic22.services.pipelines.forecast_choice import choose_forecast
from epic22.services.pipelines.series_board import SeriesBoard, SeriesPlan, compute_weights, drop_equal_forecasts
from epic22.services.training_run import COMBINATION

FIRST = 540


def make_plan(horizon: int, n_earlier: int) -> SeriesPlan:
    """A plan over eight series with so many origins before the test, the outcomes all 100."""
    periods = 30 + n_earlier + 3 * horizon
    plan = OriginPlan(
        np.arange(FIRST + 29, FIRST + 29 + n_earlier),
        np.arange(FIRST + 29 + n_earlier, FIRST + periods - horizon),
        horizon,
        MONTHLY,
    )
    rows = known(lines(8, periods)).take(np.tile(np.arange(8), len(plan.origins)))
    rows = rows.shift_back(np.repeat(FIRST + periods - 1 - plan.origins, 8))
    return SeriesPlan(plan, PanelExamples(rows, np.full((len(rows), horizon), 100.0), "v"))


def forecast(plan: SeriesPlan, name: str, errors: Array | float) -> Backtest:
    """Forecasts that are off by errors (origins,) at every series, with a narrow interval."""
    by_row = np.repeat(np.broadcast_to(errors, len(plan.origins.origins)), 8)
    median = plan.examples.Y + by_row[:, None]
    return Backtest(name, median[..., None] + np.linspace(-1, 1, len(QUANTILE_LEVELS)), 0.0, 0.0)


def choose(plan: SeriesPlan, combination: Array | float, best: Array | float) -> str:
    candidates = (forecast(plan, "drift", 30.0), forecast(plan, "ets", best), forecast(plan, COMBINATION, combination))
    return choose_forecast(plan, candidates, 1)[0].family


def draw_errors(plan: SeriesPlan, mean: float, spread: float) -> Array:
    rng = np.random.default_rng(0)
    return mean + spread * rng.standard_normal(len(plan.origins.origins))


def test_with_enough_stretches_the_combination_serves_only_where_its_gain_is_shown() -> None:
    plan = make_plan(horizon=2, n_earlier=24)
    noisy = draw_errors(plan, 10.0, 4.0)
    assert choose(plan, combination=8.0, best=10.0) == COMBINATION
    assert choose(plan, combination=noisy - 0.2, best=10.0) == "ets"
    assert choose(plan, combination=10.0, best=10.0) == "ets"


def test_a_combination_behind_its_best_member_is_not_promoted() -> None:
    assert choose(make_plan(horizon=2, n_earlier=24), combination=11.0, best=10.0) == "ets"
    assert choose(make_plan(horizon=6, n_earlier=18), combination=15.0, best=10.0) == "ets"


def test_with_few_stretches_a_near_equal_combination_stays() -> None:
    plan = make_plan(horizon=6, n_earlier=18)
    combination = draw_errors(plan, 10.05, 4.0)
    assert choose(plan, combination, best=10.0) == COMBINATION


def test_the_choice_knows_no_outcome_after_the_first_test_origin() -> None:
    plan = make_plan(horizon=3, n_earlier=24)
    due = plan.examples.origin[:, None] + np.arange(1, 4)[None, :]
    late = np.where(due > plan.origins.test[0], 1e6, plan.examples.Y)
    changed = SeriesPlan(plan.origins, replace(plan.examples, Y=late))
    candidates = tuple(forecast(plan, name, error) for name, error in (("drift", 30.0), ("ets", 9.0), (COMBINATION, 10.0)))
    assert choose_forecast(plan, candidates, 1)[1] == choose_forecast(changed, candidates, 1)[1]


def test_where_no_error_tells_families_apart_the_combination_stays() -> None:
    plan = make_plan(horizon=2, n_earlier=12)
    exact = Backtest("ets", np.repeat(plan.examples.Y[..., None], len(QUANTILE_LEVELS), axis=2), 0.0, 0.0)
    chosen, why = choose_forecast(plan, (replace(exact, family="drift"), exact, replace(exact, family=COMBINATION)), 1)
    assert chosen.family == COMBINATION
    assert "tells the families apart" in why


@pytest.mark.parametrize("name", ["pooled_boosting", COMBINATION])
def test_a_candidate_that_equals_another_is_named_and_leaves_the_race(name: str) -> None:
    plan = make_plan(horizon=2, n_earlier=12)
    twin = forecast(plan, "pooled_linear", 3.0)
    board = drop_equal_forecasts(plan, SeriesBoard((forecast(plan, "drift", 9.0), twin, replace(twin, family=name)), ()))
    assert [f.family for f in board.forecasts] == ["drift", "pooled_linear"]
    assert board.get_representative(name) == "pooled_linear"


def test_a_baseline_stays_though_another_equals_it() -> None:
    plan = make_plan(horizon=2, n_earlier=12)
    drift = forecast(plan, "drift", 9.0)
    board = drop_equal_forecasts(plan, SeriesBoard((replace(drift, family="naive"), drift, replace(drift, family="ets")), ()))
    assert [f.family for f in board.forecasts] == ["naive", "drift"]


def test_a_candidate_that_equals_another_on_the_test_alone_is_named_and_stays_for_the_test_chooses_nothing() -> None:
    plan = make_plan(horizon=2, n_earlier=12)
    twin = forecast(plan, "pooled_linear", 3.0)
    other = replace(twin, family="pooled_boosting", quantiles=twin.quantiles + 0.5)
    test = np.isin(plan.examples.origin, plan.origins.test)
    other.quantiles[test] = twin.quantiles[test]
    board = drop_equal_forecasts(plan, SeriesBoard((twin, other), ()))
    assert [f.family for f in board.forecasts] == ["pooled_linear", "pooled_boosting"]
    assert board.equals[0].words.endswith("from earlier ones it does not.")
    assert board.get_representative("pooled_boosting") == "pooled_boosting"


def draw_backtests(plan: SeriesPlan) -> tuple[Backtest, ...]:
    """Forecasts off by a share of the last value: two members that differ in skill, and a naive one that is worse."""
    rng, last, horizon = np.random.default_rng(0), plan.examples.histories.last, plan.origins.horizon
    backtests = []
    for name, spread in (("damped_drift", 0.01), ("ets", 0.02), ("naive", 0.05)):
        shares = rng.normal(0, spread, len(last))
        median = plan.examples.Y + np.repeat((shares * np.maximum(np.abs(last), 1.0))[:, None], horizon, axis=1)
        backtests.append(Backtest(name, np.repeat(median[..., None], len(QUANTILE_LEVELS), axis=2), 0.0, 0.0))
    return tuple(backtests)


def test_a_series_that_is_often_zero_does_not_set_the_weights_of_the_others() -> None:
    plan = make_plan(horizon=2, n_earlier=24)
    origin, members, forecasts = int(plan.origins.test[-1]), ("damped_drift", "ets"), draw_backtests(plan)
    histories = plan.examples.histories
    values = histories.lines.copy()
    values[7] = np.where(np.arange(values.shape[1]) % 3 == 0, 2.0, 0.0)
    odd = SeriesPlan(plan.origins, replace(plan.examples, histories=replace(histories, lines=values)))
    is_odd = histories.line == 7
    # At the odd series the better member errs by as much as its values are large, and the naive rule by nothing.
    wrong = {"damped_drift": 2.0, "ets": 1.0, "naive": 0.0}
    beside = tuple(
        replace(f, quantiles=np.where(is_odd[:, None, None], plan.examples.Y[..., None] + wrong[f.family], f.quantiles))
        for f in forecasts
    )
    without = SeriesPlan(plan.origins, plan.examples.take(np.flatnonzero(~is_odd)))
    alone = tuple(replace(f, quantiles=f.quantiles[~is_odd]) for f in forecasts)
    expected = compute_weights(without, alone, members, origin)
    assert compute_weights(odd, beside, members, origin) == pytest.approx(expected, abs=0.15)
    assert (expected[:, 0] > 0.75).all()


def test_errors_of_series_well_above_zero_are_measured_by_their_last_value() -> None:
    plan = make_plan(horizon=2, n_earlier=24)
    rows = plan.examples.origin < int(plan.origins.test[0])
    assert np.array_equal(plan.sizes.compute_scales(rows), plan.examples.histories.last[rows])
    below = SeriesPlan(
        plan.origins, replace(plan.examples, histories=replace(plan.examples.histories, lines=-plan.examples.histories.lines))
    )
    assert np.array_equal(below.sizes.compute_scales(rows), plan.examples.histories.last[rows])
