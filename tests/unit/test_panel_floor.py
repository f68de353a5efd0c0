"""Forecasts that end at zero: by what was known of the series at the time, and scored as they are served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.forecast_runs import forecast_pipeline, forecast_run
from tests.panels import known

from epic22.core.artifact.panel_model import SeriesRequest, forecast_series
from epic22.core.models.panel.floor import find_floored_origins, find_floored_series, lift_quantiles
from epic22.core.progress import Progress
from epic22.core.time_series import Array
from epic22.services.challenge import ServingModel

FAMILIES = ("naive", "drift", "pooled_linear")


def spiky() -> Array:
    """Values above zero (6, 72), most of them near it."""
    rng = np.random.default_rng(0)
    return np.where(rng.uniform(size=(6, 72)) < 0.3, 200 * rng.uniform(size=(6, 72)), 1 + rng.uniform(size=(6, 72)))


def test_a_series_above_zero_ends_there_until_another_of_the_panel_falls_below() -> None:
    values = np.array([[3.0, 2.0, 1.0, 4.0], [0.0, 1.0, 0.0, 2.0], [5.0, 1.0, -1.0, 2.0]])
    whole = known(values)
    by_origin = {back: find_floored_origins(whole.shift_back(np.full(3, back))).tolist() for back in (2, 1, 0)}
    assert by_origin == {2: [True, True, True], 1: [False, True, False], 0: [False, True, False]}
    assert find_floored_series(whole, never_negative=True).tolist() == [True, True, False]


def test_what_a_series_was_not_yet_below_does_not_count_and_rows_of_an_origin_are_judged_together() -> None:
    values = np.array([[3.0, 2.0, 1.0, 4.0], [5.0, 1.0, -1.0, 2.0]])
    both = known(values).take(np.array([0, 1, 0, 1])).shift_back(np.array([2, 2, 0, 0]))
    assert find_floored_origins(both).tolist() == [True, True, False, False]


def test_quantiles_below_zero_are_zero_and_no_negative_zero() -> None:
    lifted = lift_quantiles(np.array([[[-1.0, -0.0, 2.0]], [[-1.0, np.nan, 2.0]]]), np.array([True, False]))
    np.testing.assert_array_equal(lifted, [[[0.0, 0.0, 2.0]], [[-1.0, np.nan, 2.0]]])
    assert not np.signbit(lifted[0]).any()


@pytest.mark.slow
def test_forecasts_are_scored_as_they_are_served(tmp_path: Path) -> None:
    run, store = forecast_run(tmp_path, spiky(), families=FAMILIES)
    served = forecast_series(run.version, run.bundle, [SeriesRequest(str(name)) for name in run.bundle.history.entity])
    assert min(one.interval.low for answer in served for one in answer.values if one.interval is not None) == 0
    for quantiles in (run.adapted.quantiles, run.static.quantiles, *(one.forecasts.quantiles for one in run.leaderboard)):
        assert np.nanmin(quantiles[run.test]) == 0
    held_out = store.load_held_out("rents", run.version.version)
    assert held_out is not None
    np.testing.assert_array_equal(held_out.responses, run.champion.forecasts.quantiles[run.test])


@pytest.mark.slow
def test_forecasts_that_a_release_before_kept_below_zero_are_compared_as_they_are_served(tmp_path: Path) -> None:
    run, store = forecast_run(tmp_path, spiky(), families=FAMILIES)
    held_out = store.load_held_out("rents", run.version.version)
    assert held_out is not None
    assert (held_out.responses == 0).any()
    before = replace(held_out, responses=np.where(held_out.responses == 0, -5.0, held_out.responses))
    pipeline, progress = forecast_pipeline(tmp_path / "rents.csv", FAMILIES), Progress()
    plan = pipeline.plan(progress)
    selection = pipeline.select(plan, pipeline.evaluate(plan, progress), progress)
    challenge = pipeline.challenge(plan, selection, ServingModel(run.version, store.load("rents"), before))
    assert challenge.why.startswith("the same forecasts as version 1 for")
