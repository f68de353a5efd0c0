"""What a property manager expects of forecasts of rents: less sure the further ahead, and the same for every order and currency.

Broken once on purpose: with residual quantiles of one period for all horizons, intervals no longer widen.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from tests.behaviour.managed_portfolio import managed_tables
from tests.panels import predict_median

from epic22.core.models.panel.base import Forecaster, PanelFamily
from epic22.core.models.panel.catalog import PANEL_FAMILIES, get_panel_family
from epic22.core.time_series import MONTHLY, Histories
from epic22.features.market_intelligence import HORIZON_MONTHS

pytestmark = pytest.mark.slow

FAMILIES = pytest.mark.parametrize(
    "family", [family for family in PANEL_FAMILIES if not family.slow], ids=lambda family: family.name
)


@cache
def market_rents() -> Histories:
    """The average rent of each zip code and number of bedrooms, as known at the end."""
    tables = managed_tables()
    names = tables.tables["market"].frame["series_id"].unique().sort()
    at_end = pl.DataFrame({"entity": names}).with_columns(cutoff=pl.lit(tables.end))
    return tables.as_of(at_end).history("market", "average_rent", MONTHLY)


@cache
def fitted(name: str) -> Forecaster:
    return fit(get_panel_family(name), market_rents())


def fit(family: PanelFamily, histories: Histories) -> Forecaster:
    return family.build(12, 0, 1).fit(histories, HORIZON_MONTHS)


@FAMILIES
def test_the_further_ahead_the_wider_the_interval(family: PanelFamily) -> None:
    quantiles = fitted(family.name).predict_quantiles(market_rents())
    width = np.log(quantiles[:, :, -1] / quantiles[:, :, 0]).mean(axis=0)
    # The value of a year ago is as far from every month ahead; all other rules lose sight with each month.
    assert width[-1] > (0.9 if family.name == "seasonal_naive" else 1.3) * width[0], width
    # On the way the quantiles of some months are a little narrower by chance.
    assert (width[3:] > 0.9 * width[:-3]).all(), width


@FAMILIES
def test_a_forecast_begins_near_the_last_rent(family: PanelFamily) -> None:
    histories = market_rents()
    point = predict_median(fitted(family.name), histories)
    assert np.abs(point[:, 0] / histories.last - 1).max() < 0.1
    assert np.abs(point[:, -1] / histories.last - 1).max() < 0.5


@FAMILIES
def test_the_order_of_the_series_changes_no_forecast(family: PanelFamily) -> None:
    histories = market_rents()
    order = np.random.default_rng(0).permutation(len(histories))
    forecaster = fitted(family.name)
    assert np.array_equal(forecaster.predict_quantiles(histories.take(order)), forecaster.predict_quantiles(histories)[order])


@FAMILIES
def test_rents_in_another_currency_are_forecast_in_it(family: PanelFamily) -> None:
    histories = market_rents()
    dearer = replace(histories, lines=histories.lines * 8.0)
    plain, other = predict_median(fitted(family.name), histories), predict_median(fit(family, dearer), dearer)
    # What is estimated step by step stops at another digit.
    assert np.allclose(other, 8.0 * plain, rtol=1e-9 if not family.per_series or family.is_baseline else 0.02)


@FAMILIES
def test_a_market_that_only_rises_is_not_expected_to_fall(family: PanelFamily) -> None:
    months = np.arange(84)
    lines = 1000 * np.exp(0.004 * months)[None, :] * np.linspace(1, 1.5, 6)[:, None]
    rising = Histories.of_lines(lines, np.array([f"s{i}" for i in range(6)], dtype=object), 0, MONTHLY)
    point = predict_median(fit(family, rising), rising)
    assert (point[:, -1] >= rising.last * 0.99).all()
    if family.name not in ("naive", "seasonal_naive"):
        assert (point[:, -1] > rising.last * 1.005).all()


@FAMILIES
def test_a_month_more_of_history_moves_a_forecast_with_it(family: PanelFamily) -> None:
    """If the last rent is a tenth higher than it was, no forecast of the next month is lower for it."""
    histories = market_rents()
    lines = histories.lines.copy()
    lines[histories.line, histories.end - 1] *= 1.1
    forecaster = fitted(family.name)
    before, after = predict_median(forecaster, histories)[:, 0], predict_median(forecaster, replace(histories, lines=lines))[:, 0]
    share_lower = float(np.mean(after < before * 0.999))
    assert share_lower <= (1.0 if family.name == "seasonal_naive" else 0.05)


def test_the_series_are_those_of_the_market_table() -> None:
    frame = managed_tables().tables["market"].frame
    assert len(market_rents()) == frame["series_id"].n_unique() >= 10
    assert isinstance(frame["average_rent"].dtype, pl.Float64)
