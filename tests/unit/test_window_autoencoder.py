"""The autoencoder of windows: what it says of a row is settled by the rows before it, and by the seed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.absent_libraries import WITHOUT_TRAINING_STACK

from epic22.core.errors import NotInstalledError
from epic22.core.evaluation import window_autoencoder
from epic22.core.evaluation.anomaly_detectors import FALSE_ALARM_RATE, DetectorData, get_detector, score_residuals
from epic22.core.evaluation.window_autoencoder import (
    WindowAutoencoder,
    WindowPlan,
    choose_window,
    compute_scale,
    cut_windows,
    fit_window_autoencoder,
    list_fit_rows,
)
from epic22.core.task import Array

pytestmark = pytest.mark.slow

SERIES, PERIODS, CHANGE = 12, 84, 72
"""Months; a third of the series changes in the last year."""


def seasonal_panel(seed: int = 0) -> Array:
    """Series of months with a season of a sharp shape, and noise."""
    rng = np.random.default_rng(seed)
    season = np.array([0, 0, 1, 5, 1, 0, 0, 0, -2, -2, 0, 0])
    return np.asarray(100 + 4 * season[np.arange(PERIODS) % 12] + rng.normal(size=(SERIES, PERIODS)))


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    """Trainings a third as long, which these series don't need longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_autoencoder, "STEPS", 150)
        yield


@pytest.fixture(scope="module")
def values() -> Array:
    return seasonal_panel()


@pytest.fixture(scope="module")
def fitted(values: Array) -> WindowAutoencoder:
    return fit_window_autoencoder(values, season=12)


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(values: Array, fitted: WindowAutoencoder) -> None:
    again, other = (fit_window_autoencoder(values[:, :30], 12, seed) for seed in (0, 1))
    assert again.networks[0].network.graph == fitted.networks[0].network.graph
    assert other.networks[0].network.graph != fitted.networks[0].network.graph


def test_scrambling_the_future_changes_no_bit_of_what_was_said_before_it(values: Array, fitted: WindowAutoencoder) -> None:
    """Neither through the networks, one of which was fitted just before, nor through scales, ranks or the shape of a call."""
    scrambled, cut = values.copy(), fitted.networks[2].first_row + 1
    scrambled[:, cut:] = np.random.default_rng(1).normal(size=(SERIES, PERIODS - cut)) * 1e4
    other = fit_window_autoencoder(scrambled, season=12)
    p_values, known = other.compute_p_values(scrambled), fitted.compute_p_values(values)
    assert np.array_equal(p_values[:, :cut], known[:, :cut], equal_nan=True)
    assert not np.array_equal(p_values[:, cut:], known[:, cut:], equal_nan=True)
    assert np.array_equal(fitted.compute_p_values(values[:, :cut]), known[:, :cut], equal_nan=True)


@pytest.mark.parametrize("change", ["a level", "a shape"])
def test_a_shifted_level_and_a_changed_shape_are_found_and_rows_as_before_are_not(
    change: str, values: Array, fitted: WindowAutoencoder
) -> None:
    changed, odd = values.copy(), slice(0, 4)
    shifted = changed[odd, CHANGE:] + 12 if change == "a level" else 200 - changed[odd, CHANGE:]
    changed[odd, CHANGE:] = shifted
    alarms = fitted.compute_p_values(changed) <= FALSE_ALARM_RATE
    assert alarms[odd, CHANGE : CHANGE + 6].any(axis=1).all()
    assert alarms[4:].mean() < 0.03


def test_a_change_of_shape_is_seen_where_every_value_lies_within_its_usual_range(
    values: Array, fitted: WindowAutoencoder
) -> None:
    turned = values.copy()
    turned[:, CHANGE:] = values[:, CHANGE:][:, ::-1]
    by_value = score_residuals(turned, None)[:, CHANGE:].min(axis=1) <= FALSE_ALARM_RATE
    by_shape = fitted.compute_p_values(turned)[:, CHANGE:].min(axis=1) <= FALSE_ALARM_RATE
    assert by_shape.mean() > 0.9
    assert by_value.mean() < 0.2


def test_a_series_with_gaps_is_scored_where_it_has_values(values: Array, fitted: WindowAutoencoder) -> None:
    gappy = values.copy()
    gappy[0, 50:53], gappy[1, :40] = np.nan, np.nan
    p_values = fitted.compute_p_values(gappy)
    assert np.isnan(p_values[0, 50:53]).all()
    assert np.isfinite(p_values[0, 53:]).all()
    assert np.isnan(p_values[1, :45]).all()
    assert np.isfinite(p_values[1, 52:]).all()


@pytest.mark.parametrize("unit", [0.125, 1024.0])
def test_the_unit_does_not_matter(unit: float, values: Array, fitted: WindowAutoencoder) -> None:
    assert np.array_equal(fitted.compute_p_values(values * unit), fitted.compute_p_values(values), equal_nan=True)


def test_alarms_come_at_the_rate_on_noise() -> None:
    """Of independent values and of such that remember; `benchmarks/anomaly_rates.py` has more kinds and rows."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(16, 160))
    for t in range(1, 160):
        noise[8:, t] += 0.7 * noise[8:, t - 1]
    data = DetectorData(noise, None)
    for name in ("autoencoder", "combined"):
        fitted = get_detector(name).fit(data)
        share = (fitted.score(noise)[:, int(fitted.first_row) :] <= 0.05).mean()
        assert 0.005 < share < 0.05
    p_values = data.autoencoder.compute_p_values(noise)[:, int(data.autoencoder.first_row) :]
    assert 0.025 < (p_values <= 0.05).mean() < 0.075


def test_networks_answer_where_nothing_that_trains_them_is_installed(
    values: Array, fitted: WindowAutoencoder, tmp_path: Path
) -> None:
    for number, one in enumerate(fitted.networks):
        (tmp_path / f"{number}.onnx").write_bytes(one.network.graph)
    np.save(tmp_path / "values.npy", values)
    script = WITHOUT_TRAINING_STACK + (
        "import json, numpy as np\n"
        "from pathlib import Path\n"
        "from epic22.core.evaluation.window_autoencoder import WindowAutoencoder, WindowNetwork, WindowPlan\n"
        "from epic22.core.models.networks.graph_session import GraphSession\n"
        f"folder = Path({str(tmp_path)!r})\n"
        f"rows = {[one.first_row for one in fitted.networks]}\n"
        "networks = [WindowNetwork(row, GraphSession((folder / f'{i}.onnx').read_bytes())) for i, row in enumerate(rows)]\n"
        "model = WindowAutoencoder(WindowPlan(12, 12), tuple(networks))\n"
        "print(json.dumps(np.nan_to_num(model.compute_p_values(np.load(folder / 'values.npy'))).tolist()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert np.array_equal(json.loads(done.stdout), np.nan_to_num(fitted.compute_p_values(values)))


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch, values: Array) -> None:
    monkeypatch.setattr(window_autoencoder, "LIBRARIES", ("a_library_that_nobody_has",))
    with pytest.raises(NotInstalledError, match=r"pip install 'epic22\[neural\]'"):
        fit_window_autoencoder(values, 12)


def test_a_network_is_due_each_time_the_rows_have_grown_by_half_and_none_where_they_are_few() -> None:
    plan = WindowPlan(choose_window(12), 12)
    values = np.random.default_rng(0).normal(size=(12, 100))
    late = np.concatenate([np.full((12, 10), np.nan), values], axis=1)
    assert list_fit_rows(values, plan) == [24, 36, 54, 81]
    assert list_fit_rows(late, plan) == [34, 46, 64, 91]
    assert list_fit_rows(values[:, :20], plan) == []
    assert list_fit_rows(values[:1, :60], plan) == []
    none = fit_window_autoencoder(values[:, :20], 12)
    assert none.first_row == np.inf
    assert np.isnan(none.compute_p_values(values)).all()


def test_a_scale_is_that_of_distances_from_the_window_and_never_zero() -> None:
    plan = WindowPlan(8, None)
    past = np.array([[0.0, 2.0] * 10, [5.0] * 20])
    assert compute_scale(past, plan).tolist() == [1.0, 1.0]
    assert compute_scale(past * 3, plan).tolist() == [3.0, 1.0]
    assert np.abs(cut_windows(past, plan)[0]).tolist() == [[1.0] * 8] * 13
