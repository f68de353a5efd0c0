"""The simulated market: its steps by hand, its medians, and what is published of it."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worlds import SMALL_WORLD, small_world

from epic22.simulator.calendar import Span, first_day, to_datetime
from epic22.simulator.market import (
    BEDROOMS,
    LEVELS,
    Market,
    MarketState,
    build_market_table,
    compute_market_truth,
    logistic,
    simulate_market,
)
from epic22.simulator.size import END

JULY, JANUARY = 6, 0


def one_zip(
    month: int = JULY, growth: float = 0.004, deviation: float = 0.2, vacancy: float = -2.8
) -> tuple[Market, MarketState]:
    """A metro whose rents grow by 0.2 % a month with one zip code that is usually 0.1 above it, half a per cent faster now."""
    state = MarketState(month, np.array([0.0]), np.array([growth]), np.array([deviation]), np.array([vacancy]))
    usual = (np.array([0.002]), np.array([0.1]), np.array([-2.8]))
    return Market(("10101",), np.array([0]), *usual, month, (state,)), state


@given(x=st.floats(-30, 30))
def test_the_logistic_of_opposite_odds_adds_up_to_one(x: float) -> None:
    assert float(logistic(np.array(x)) + logistic(np.array(-x))) == pytest.approx(1)
    assert float(np.log(logistic(np.array(x)) / logistic(np.array(-x)))) == pytest.approx(x, abs=1e-3)


def test_the_median_next_month_is_computed_by_hand() -> None:
    market, state = one_zip()
    after = market.compute_median_next(state)
    assert after.month == state.month + 1
    assert after.growth == pytest.approx([0.002 + 0.85 * 0.002])
    assert after.level == pytest.approx([0.0037])
    assert after.deviation == pytest.approx([0.1 + 0.96 * 0.1])
    assert after.vacancy == pytest.approx([-2.8 - 12 * 0.0017])


def test_noise_moves_growth_and_with_it_the_vacancy() -> None:
    market, state = one_zip()
    quiet = market.compute_median_next(state)
    loud = market.step(state, (np.array([1.0]), np.array([2.0]), np.array([3.0])))
    assert loud.growth - quiet.growth == pytest.approx([0.0016])
    assert loud.level - quiet.level == pytest.approx([0.0016])
    assert loud.deviation - quiet.deviation == pytest.approx([2 * 0.005])
    assert loud.vacancy - quiet.vacancy == pytest.approx([3 * 0.05 - 12 * 0.0016])


def test_a_market_left_alone_returns_to_its_usual_state() -> None:
    market, state = one_zip(growth=0.02, deviation=1.0, vacancy=-1.0)
    for _ in range(400):
        state = market.compute_median_next(state)
    assert state.growth == pytest.approx([0.002])
    assert state.deviation == pytest.approx([0.1], abs=1e-6)
    assert state.vacancy == pytest.approx([-2.8], abs=1e-6)


def test_replicates_of_a_state_move_by_themselves_around_the_median() -> None:
    market, state = one_zip()
    many = MarketState(
        state.month, *(np.repeat(a[None], 20_000, axis=0) for a in (state.level, state.growth, state.deviation, state.vacancy))
    )
    after, quiet = market.sample_next(many, np.random.default_rng(1)), market.compute_median_next(state)
    assert after.deviation.shape == (20_000, 1)
    assert after.growth.mean() == pytest.approx(quiet.growth[0], abs=4 * 0.0016 / 20_000**0.5)
    assert after.growth.std() == pytest.approx(0.0016, rel=0.03)
    assert after.deviation.std() == pytest.approx(0.005, rel=0.03)
    assert after.vacancy.std() == pytest.approx((0.05**2 + (12 * 0.0016) ** 2) ** 0.5, rel=0.03)


def test_rents_peak_and_vacancy_is_lowest_in_july() -> None:
    summer, winter = one_zip(JULY), one_zip(JANUARY)
    rents = summer[0].log_rent(summer[1]) - winter[0].log_rent(winter[1])
    odds = summer[0].log_odds(summer[1]) - winter[0].log_odds(winter[1])
    assert rents == pytest.approx(np.full((1, 4), 2 * 0.012))
    assert odds == pytest.approx(np.full((1, 4), -2 * 0.12))


def test_bedrooms_add_their_level_to_every_place() -> None:
    market, state = one_zip()
    rents = market.log_rent(state)
    assert rents - rents[:, :1] == pytest.approx(LEVELS[None] - LEVELS[0])
    assert np.exp(rents[0, 0]) == pytest.approx(1050 * np.exp(0.2 + 0.012))


def test_the_path_has_every_month_from_three_years_before_the_first_to_the_end() -> None:
    world = small_world()
    months = [state.month for state in world.market.states]
    assert months == list(range(world.span.first_month - 36, world.span.end_month + 1))
    assert world.market.at(world.span.window_month).month == world.span.window_month


def test_zip_codes_are_distinct_and_begin_with_their_metro() -> None:
    market = small_world().market
    assert len(set(market.zip_codes)) == SMALL_WORLD.zips
    assert [int(code[:2]) - 10 for code in market.zip_codes] == market.metro_of_zip.tolist()
    assert {len(code) for code in market.zip_codes} == {5}
    assert set(market.metro_of_zip) == set(range(SMALL_WORLD.metros))


def test_the_same_seed_gives_the_same_market_and_another_seed_another() -> None:
    span = Span(SMALL_WORLD)
    first, again, other = (simulate_market(SMALL_WORLD, span, np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b, c in zip(first.states, again.states, other.states, strict=True):
        assert np.array_equal(a.vacancy, b.vacancy)
        assert not np.array_equal(a.vacancy, c.vacancy)


def test_the_true_median_of_a_horizon_is_the_median_of_many_futures() -> None:
    world = small_world()
    month, market = world.span.end_month, world.market
    rents, vacancies = compute_market_truth(market, world.span, horizons=3)
    now = market.at(month - 1)
    state = MarketState(
        now.month, *(np.repeat(a[None], 4000, axis=0) for a in (now.level, now.growth, now.deviation, now.vacancy))
    )
    rng = np.random.default_rng(3)
    for _ in range(3):
        state = market.sample_next(state, rng)
    at_end = pl.col("cutoff") == END
    order = np.argsort([f"{z}|{b}" for z in market.zip_codes for b in BEDROOMS])
    simulated = np.median(np.exp(market.log_rent(state)), axis=0).ravel()[order]
    empty = np.median(logistic(market.log_odds(state)), axis=0).ravel()[order]
    assert rents.filter(at_end)["h3"].to_numpy() == pytest.approx(simulated, rel=0.002)
    assert vacancies.filter(at_end)["h3"].to_numpy() == pytest.approx(empty, rel=0.02)


def test_truth_stands_for_each_place_at_the_last_forty_months() -> None:
    world = small_world()
    rents, _ = compute_market_truth(world.market, world.span, horizons=2)
    assert rents.columns == ["entity", "cutoff", "h1", "h2"]
    assert rents.group_by("entity").len()["len"].to_list() == [40] * 28
    first = rents["cutoff"].min()
    assert first == to_datetime(first_day(np.array([world.span.end_month - 39])))[0].item()


@pytest.fixture(scope="module")
def published() -> pl.DataFrame:
    world = small_world()
    return build_market_table(world.market, world.span, np.random.default_rng(2))


def test_published_rents_lie_around_the_state_with_the_stated_noise(published: pl.DataFrame) -> None:
    world, rows = small_world(), published.filter(pl.col("provenance") != "nonpublic_competitor")
    latest = rows.sort("known_at").unique(["zip_code", "bedrooms", "month"], keep="last")
    months = (latest["month"].dt.year() - 1970) * 12 + latest["month"].dt.month() - 1
    places = latest["zip_code"].replace_strict(world.market.zip_codes, range(7)).to_numpy()
    true = np.array(
        [world.market.log_rent(world.market.at(m))[z, b] for m, z, b in zip(months, places, latest["bedrooms"], strict=True)]
    )
    noise = np.log(latest["average_rent"].cast(pl.Float64).to_numpy()) - true
    assert np.std(noise) == pytest.approx(0.003, rel=0.08)
    assert np.mean(noise) == pytest.approx(0, abs=4 * 0.003 / len(noise) ** 0.5)


def test_figures_come_out_a_week_or_two_after_their_month_and_corrections_31_days_later(published: pl.DataFrame) -> None:
    keys = ["zip_code", "bedrooms", "month", "source"]
    versions = published.sort("known_at").group_by(keys).agg(pl.col("published_at"), pl.col("average_rent"))
    ends = pl.col("month").dt.offset_by("1mo")
    delays = versions.select((pl.col("published_at").list.first() - ends).alias("delay"))["delay"].unique().sort()
    assert (delays.min(), delays.max()) == (timedelta(days=8, hours=9), timedelta(days=12, hours=9))
    twice = versions.filter(pl.col("published_at").list.len() == 2)
    gaps = twice.select(pl.col("published_at").list.diff(null_behavior="drop").list.first().alias("gap"))["gap"]
    assert set(gaps) == {timedelta(days=31)}
    assert 0.04 < twice.height / versions.height < 0.08


def test_every_sixth_zip_code_is_known_from_the_own_book(published: pl.DataFrame) -> None:
    codes = small_world().market.zip_codes
    own = published.filter(pl.col("source") == "own_book")
    assert set(own["zip_code"]) == {codes[0], codes[6]}
    assert set(own["provenance"]) == {"own"}


def test_the_rent_pool_shows_one_zip_code_for_six_months_two_per_cent_dearer(published: pl.DataFrame) -> None:
    pool = published.filter(pl.col("source") == "rent_pool")
    assert pool["zip_code"].unique().to_list() == [small_world().market.zip_codes[1]]
    assert pool["month"].n_unique() == 6
    survey = (
        published.filter(pl.col("source") == "public_survey")
        .sort("known_at")
        .unique(["zip_code", "bedrooms", "month"], keep="last")
    )
    both = pool.join(survey, on=["zip_code", "bedrooms", "month"], suffix="_survey")
    ratios = both["average_rent"].cast(pl.Float64) / both["average_rent_survey"].cast(pl.Float64)
    assert both.height == pool.height == 24
    assert ratios.to_numpy() == pytest.approx(np.full(24, 1.02), abs=1e-5)


def test_nothing_is_published_after_the_end(published: pl.DataFrame) -> None:
    last = published["known_at"].max()
    assert isinstance(last, datetime)
    assert last <= END
