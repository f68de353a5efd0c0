"""ETS, Theta and ARIMA: what each is told of a series, when it gives up, and how sure it is.

Broken once on purpose: with Theta's variance constant over the horizon, its intervals no longer widen.
"""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from tests.panels import known, lines, predict_median
from tests.waiting import wait_until

from epic22.core.models.panel.base import MEDIAN_INDEX, QUANTILE_LEVELS
from epic22.core.models.panel.classical import FAMILIES, MAX_QUICK_VALUES, METHODS, MIN_VALUES, ClassicalForecaster, Method
from epic22.core.models.panel.estimation import EstimationProcess, estimate_apart
from epic22.core.models.panel.log_growth import LogGrowth
from epic22.core.models.panel.naive import forecast_damped_drift
from epic22.core.time_series import Array

pytestmark = pytest.mark.slow  # statsforecast takes seconds to be imported

QUICK: tuple[Method, ...] = ("ets", "theta")
EACH = pytest.mark.parametrize("method", [*QUICK, "arima"])


def walk(n: int = 48, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.asarray(100 * np.exp(np.cumsum(rng.normal(0.002, 0.02, n))))[None, :]


def test_there_is_a_family_a_method_and_arima_runs_only_when_asked_for() -> None:
    assert [family.name for family in FAMILIES] == list(METHODS)
    assert [family.slow for family in FAMILIES] == [False, False, True]
    assert all(family.per_series and not family.is_baseline for family in FAMILIES)


@EACH
def test_a_series_that_is_too_short_is_forecast_by_the_damped_drift(method: Method) -> None:
    values = walk(MIN_VALUES - 1)
    past = known(values)
    model = ClassicalForecaster(method, season=1).fit(past, 3)
    assert model.n_failed_ == 1
    growth = LogGrowth(past, 1)
    expected = growth.inverse_transform(growth.z[:, -1:] + forecast_damped_drift(growth.z, 1, 3))
    assert np.allclose(predict_median(model, past), expected)


@EACH
def test_intervals_widen_with_the_horizon(method: Method) -> None:
    past = known(walk(seed=3))
    quantiles = ClassicalForecaster(method, season=1).fit(past, 8).predict_quantiles(past)[0]
    width = quantiles[:, -1] - quantiles[:, 0]
    assert (np.diff(width) >= -1e-9).all()
    assert width[7] > 1.3 * width[0]


@pytest.mark.parametrize("method", QUICK)
def test_quantiles_are_those_of_a_normal_about_the_mean(method: Method) -> None:
    past = known(walk(seed=5))
    quantiles = ClassicalForecaster(method, season=1).fit(past, 4).predict_quantiles(past)[0]
    middle = quantiles[:, [MEDIAN_INDEX]]
    upper, lower = quantiles[:, MEDIAN_INDEX + 1 :] - middle, middle - quantiles[:, :MEDIAN_INDEX]
    assert np.allclose(upper, lower[:, ::-1])
    # The tenth lies 1.2816 standard deviations below, the quarter 0.6745.
    assert QUANTILE_LEVELS[:2] == (0.1, 0.25)
    assert np.allclose(lower[:, 0] / lower[:, 1], 1.2815516 / 0.6744898, rtol=1e-5)


def test_theta_s_variance_grows_by_the_square_of_its_smoothing_a_period() -> None:
    past = known(walk(seed=1))
    model = ClassicalForecaster("theta", season=1).fit(past, 6)
    ((_, state),) = model.states_.items()
    quantiles = model.predict_quantiles(past)[0]
    deviation = (quantiles[:, -1] - quantiles[:, MEDIAN_INDEX]) / 1.2815516
    expected = deviation[0] * np.sqrt(1 + np.arange(6) * state["par"]["alpha"] ** 2)
    assert np.allclose(deviation, expected, rtol=1e-6)


@EACH
def test_a_constant_series_stays_as_it_is(method: Method) -> None:
    past = known(np.full((1, 40), 7.0))
    quantiles = ClassicalForecaster(method, season=4).fit(past, 3).predict_quantiles(past)
    assert np.allclose(quantiles, 7.0, rtol=1e-4)


@pytest.mark.parametrize("method", QUICK)
def test_a_series_never_seen_is_estimated_when_asked_for(method: Method) -> None:
    values = lines(series=2, periods=48)
    model = ClassicalForecaster(method, season=4).fit(known(values).take(np.array([0])), 3)
    both = ClassicalForecaster(method, season=4).fit(known(values), 3)
    assert np.allclose(predict_median(model, known(values)), predict_median(both, known(values)))


@pytest.mark.parametrize("method", QUICK)
def test_parameters_are_estimated_once_and_rolled_over_later_values(method: Method) -> None:
    values = lines(series=2, periods=60)
    model = ClassicalForecaster(method, season=4).fit(known(values, 50), 3)
    states = json.dumps(model.states_, sort_keys=True)
    later = predict_median(model, known(values))
    assert json.dumps(model.states_, sort_keys=True) == states
    assert np.abs(later[:, 0] / values[:, -1] - 1).max() < 0.2


def test_a_cycle_too_long_for_the_method_is_left_to_the_pooled_families() -> None:
    past = known(lines(series=1, periods=160, season=52))
    model = ClassicalForecaster("theta", season=52).fit(past, 2)
    assert [state["m"] for state in model.states_.values()] == [1]
    assert [s["m"] for s in ClassicalForecaster("theta", season=4).fit(past, 2).states_.values()] == [4]


def test_the_files_hold_plain_json_of_each_series() -> None:
    model = ClassicalForecaster("ets", season=4).fit(known(lines(series=2)), 2)
    ((name, content),) = model.files().items()
    state = json.loads(content)
    assert name == "ets.json"
    assert (state["method"], state["season"], state["horizon"]) == ("ets", 4, 2)
    assert sorted(state["states"]) == ["series 0", "series 1"]


def test_a_long_series_that_is_not_known_is_estimated_apart_while_a_server_answers_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its estimate holds the interpreter's lock for seconds. A short one is quick; a process that was killed is started anew."""
    process = EstimationProcess()
    monkeypatch.setattr("epic22.core.models.panel.estimation.PROCESS", process)
    model = ClassicalForecaster("theta", season=1).fit(known(walk(24)), 2)
    model.states_ = {}
    long, short = known(walk(MAX_QUICK_VALUES + 1, seed=2)), known(walk(MAX_QUICK_VALUES, seed=2))
    expected = model.predict_quantiles(long)
    with estimate_apart():
        model.predict_quantiles(short)
        assert not process.is_started
        assert np.array_equal(model.predict_quantiles(long), expected)
        assert process.is_started
        os.kill(process.run(get_process_id, 0), signal.SIGKILL)
        assert np.array_equal(model.predict_quantiles(long), expected)
        assert process.run(get_process_id, 0) != os.getpid()


def get_process_id(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("fault", [OSError(11, "Resource temporarily unavailable"), BrokenProcessPool("ended at once")])
def test_where_no_process_can_be_started_a_series_is_estimated_here_each_time(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    class NoProcess(ProcessPoolExecutor):
        def submit(self, *_: object, **__: object) -> NoReturn:
            raise fault

    process = EstimationProcess()
    with monkeypatch.context() as patch:
        patch.setattr("epic22.core.models.panel.estimation.ProcessPoolExecutor", NoProcess)
        assert [process.run(get_process_id, 0) for _ in range(3)] == [os.getpid()] * 3
        assert not process.is_started
    child = process.run(get_process_id, 0)
    assert child != os.getpid()
    os.kill(child, signal.SIGINT)
    assert process.run(get_process_id, 0) == child


def test_the_process_that_estimates_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "import os, time\n"
        "from tests.unit.test_panel_classical import get_process_id\n"
        "from epic22.core.models.panel.estimation import PROCESS\n"
        "print(PROCESS.run(get_process_id, 0), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert child != parent.pid
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(child), 30)


def is_alive(process_id: int) -> bool:
    """Whether it runs; one that ended and that nobody has asked after counts as ended."""
    status = Path(f"/proc/{process_id}/status")
    return status.exists() and "State:\\tZ" not in status.read_text()
