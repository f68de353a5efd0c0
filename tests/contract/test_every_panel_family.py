"""What every forecasting family must keep, whatever it is made of."""

from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.panels import known, lines, predict_median

from epic22.core.models.panel.base import QUANTILE_LEVELS, Forecaster, PanelFamily
from epic22.core.models.panel.catalog import PANEL_FAMILIES, get_panel_family
from epic22.core.time_series import QUARTERLY, Array, Histories

H = 4


def each(families: Iterable[PanelFamily]) -> pytest.MarkDecorator:
    """A case a family; those that take long are left out of the fast half, those whose library is absent are skipped."""
    return pytest.mark.parametrize("family", [pytest.param(f, id=f.name, marks=mark(f)) for f in families])


def mark(family: PanelFamily) -> list[pytest.MarkDecorator]:
    absent = pytest.mark.skipif(not family.is_installed, reason=f"{family.needs} is not installed")
    return [absent, pytest.mark.slow] if family.slow else [absent]


FAMILIES = each(PANEL_FAMILIES)
PER_SERIES = each(f for f in PANEL_FAMILIES if f.per_series)


def fitted(family: PanelFamily, past: Histories, season: int = 4) -> Forecaster:
    return family.build(season, 0, 1).fit(past, H)


@cache
def _fit_by_name(name: str) -> Forecaster:
    return fitted(get_panel_family(name), known(lines()))


def fitted_once(family: PanelFamily) -> Forecaster:
    """The family on the usual panel, for tests that only ask the forecaster."""
    return _fit_by_name(family.name)


@pytest.mark.slow
@FAMILIES
def test_fit_gives_itself_and_forecasts_have_the_stated_shape(family: PanelFamily) -> None:
    forecaster = family.build(4, 0, 1)
    past = known(lines())
    assert forecaster.fit(past, H) is forecaster
    quantiles = forecaster.predict_quantiles(past)
    assert quantiles.shape == (6, H, len(QUANTILE_LEVELS))
    assert np.isfinite(quantiles).all()


@pytest.mark.slow
@FAMILIES
def test_quantiles_never_cross(family: PanelFamily) -> None:
    quantiles = fitted(family, known(lines(seed=3))).predict_quantiles(known(lines(seed=4)))
    assert (np.diff(quantiles, axis=2) >= 0).all()


@pytest.mark.slow
@FAMILIES
def test_what_is_restored_forecasts_the_same(family: PanelFamily) -> None:
    forecaster = fitted_once(family)
    restored = family.restore(forecaster.files())
    later = known(lines(periods=76))
    assert np.array_equal(restored.predict_quantiles(later), forecaster.predict_quantiles(later))
    assert restored.files() == forecaster.files()


@pytest.mark.slow
@FAMILIES
def test_the_same_seed_gives_the_same_bytes(family: PanelFamily) -> None:
    assert fitted(family, known(lines())).files() == fitted_once(family).files()


@pytest.mark.slow
@FAMILIES
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), end=st.integers(40, 60))
def test_noise_after_the_origin_changes_no_forecast_from_it(family: PanelFamily, seed: int, end: int) -> None:
    values = lines(series=3, periods=66)
    noisy = values.copy()
    noisy[:, end:] *= np.random.default_rng(seed).lognormal(0, 2, noisy[:, end:].shape)
    plain, other = known(values, end), known(noisy, end)
    assert np.array_equal(fitted(family, plain).predict_quantiles(plain), fitted(family, other).predict_quantiles(other))


@pytest.mark.slow
@FAMILIES
def test_a_row_alone_is_the_row_in_the_batch(family: PanelFamily) -> None:
    past, forecaster = known(lines()), fitted_once(family)
    batch = forecaster.predict_quantiles(past)
    alone = np.concatenate([forecaster.predict_quantiles(past.take(np.array([row]))) for row in range(len(past))])
    assert np.allclose(alone, batch, rtol=1e-6, atol=0)
    if family.same_bits_for_one_row:
        assert np.array_equal(alone, batch)


@pytest.mark.slow
@PER_SERIES
def test_a_series_alone_is_forecast_as_in_the_panel(family: PanelFamily) -> None:
    values = lines()
    whole = predict_median(fitted_once(family), known(values))
    for row in range(len(values)):
        alone = known(values).take(np.array([row]))
        assert np.array_equal(predict_median(fitted(family, alone), alone)[0], whole[row])


@pytest.mark.slow
@FAMILIES
def test_rolling_forward_follows_the_new_values(family: PanelFamily) -> None:
    values = lines(periods=80)
    forecaster = fitted(family, known(values, 60))
    moved = predict_median(forecaster, known(values))
    assert np.abs(moved[:, 0] / values[:, -1] - 1).max() < 0.2
    assert not np.allclose(moved, predict_median(forecaster, known(values, 60)))


def odd_panels() -> dict[str, Array]:
    steady = lines(series=4, periods=60)
    gap, zeros, negative, short = steady.copy(), steady.copy(), steady.copy(), steady.copy()
    gap[1, 20:30] = np.nan
    zeros[2, 10:] = 0.0
    negative[0] -= 2 * negative[0].mean()
    short[3, :-4] = np.nan
    return {
        "a gap": gap,
        "zeros": zeros,
        "negative values": negative,
        "a short series": short,
        "constants": np.ones((3, 60)),
        "tiny": steady * 1e-9,
        "huge": steady * 1e12,
        "one series": steady[:1],
    }


@pytest.mark.slow
@FAMILIES
@pytest.mark.parametrize("name", odd_panels())
def test_odd_panels_are_forecast_in_finite_numbers(family: PanelFamily, name: str) -> None:
    past = known(odd_panels()[name], frequency=QUARTERLY)
    quantiles = fitted(family, past, season=4).predict_quantiles(past)
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()


@pytest.mark.slow
@each(f for f in PANEL_FAMILIES if not f.is_baseline)
def test_what_learns_beats_the_naive_rule_on_a_panel_with_drift_and_season(family: PanelFamily) -> None:
    values = lines(series=8, periods=108, seed=5)
    ends = range(84, 104)
    errors = {}
    for one in (family, get_panel_family("naive")):
        forecaster = fitted(one, known(values, 84))
        found = [np.abs(predict_median(forecaster, known(values, end)) / values[:, end : end + H] - 1).mean() for end in ends]
        errors[one.name] = float(np.mean(found))
    assert errors[family.name] < errors["naive"]
