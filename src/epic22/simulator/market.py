"""Rents and vacancy by zip code and bedrooms: a Gaussian state, so that medians are exact.

Log rent = metro level (whose monthly growth is autoregressive) + zip deviation (autoregressive) + bedrooms + season.
Logit vacancy is autoregressive and falls where rents grow faster than usual.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.simulator.calendar import Array, Span, first_day, month_of_year, to_datetime
from epic22.simulator.size import END, PortfolioSize
from epic22.simulator.table_builder import build_table, money

BEDROOMS = np.arange(4)
LEVELS = np.log([1050.0, 1300.0, 1650.0, 2100.0])
VACANCY_LEVELS = np.array([0.15, 0.0, -0.05, 0.1])
GROWTH_MEMORY, GROWTH_NOISE = 0.85, 0.0016
ZIP_MEMORY, ZIP_NOISE = 0.96, 0.005
VACANCY_MEMORY, VACANCY_NOISE, VACANCY_LINK = 0.92, 0.05, -12.0
RENT_SEASON, VACANCY_SEASON = 0.012, -0.12
PUBLISHED_RENT_NOISE, PUBLISHED_VACANCY_NOISE = 0.003, 0.04
"""Noise of the published figures around the state, in log rent and logit vacancy."""
REVISION_SHARE = 0.06


def logistic(x: Array) -> Array:
    """Log-odds to share."""
    return np.asarray(1 / (1 + np.exp(-x)))


@dataclass(frozen=True)
class MarketState:
    """The state of one month: metro arrays (…, metros), zip arrays (…, zips)."""

    month: int
    level: Array
    growth: Array
    deviation: Array
    vacancy: Array


@dataclass(frozen=True)
class Market:
    """The places and the path of states; `states[i]` belongs to month `first_month + i`."""

    zip_codes: tuple[str, ...]
    metro_of_zip: Array
    usual_growth: Array
    usual_deviation: Array
    usual_vacancy: Array
    first_month: int
    states: tuple[MarketState, ...]

    def at(self, month: int) -> MarketState:
        """The state of a month."""
        return self.states[month - self.first_month]

    def step(self, state: MarketState, noise: tuple[Array, Array, Array]) -> MarketState:
        """The next month; `noise` are standard normals for growth (…, metros), deviation and vacancy (…, zips)."""
        growth = self.usual_growth + GROWTH_MEMORY * (state.growth - self.usual_growth) + GROWTH_NOISE * noise[0]
        deviation = self.usual_deviation + ZIP_MEMORY * (state.deviation - self.usual_deviation) + ZIP_NOISE * noise[1]
        pull = VACANCY_LINK * (growth - self.usual_growth)[..., self.metro_of_zip]
        vacancy = self.usual_vacancy + VACANCY_MEMORY * (state.vacancy - self.usual_vacancy) + pull + VACANCY_NOISE * noise[2]
        return MarketState(state.month + 1, state.level + growth, growth, deviation, vacancy)

    def compute_median_next(self, state: MarketState) -> MarketState:
        """The median next month."""
        return self.step(state, (np.zeros(1), np.zeros(1), np.zeros(1)))

    def sample_next(self, state: MarketState, rng: np.random.Generator) -> MarketState:
        """A random next month; a state of shape (replicates, …) moves every replicate by itself."""
        zips = state.deviation.shape
        noise = (rng.standard_normal(state.growth.shape), rng.standard_normal(zips), rng.standard_normal(zips))
        return self.step(state, noise)

    def log_rent(self, state: MarketState) -> Array:
        """Log of the average rent, (…, zips, bedrooms)."""
        place = state.level[..., self.metro_of_zip] + state.deviation
        season = RENT_SEASON * np.cos(2 * np.pi * (month_of_year(state.month) - 6) / 12)
        return np.asarray(place[..., None] + LEVELS + season)

    def log_odds(self, state: MarketState) -> Array:
        """Logit of the vacancy rate, (…, zips, bedrooms)."""
        season = VACANCY_SEASON * np.cos(2 * np.pi * (month_of_year(state.month) - 6) / 12)
        return np.asarray(state.vacancy[..., None] + VACANCY_LEVELS + season)


def simulate_market(size: PortfolioSize, span: Span, rng: np.random.Generator) -> Market:
    """All months from the first to the end's own, one path."""
    zips = np.arange(size.zips)
    metro = zips % size.metros
    codes = tuple(f"{10 + m}{101 + z // size.metros:03d}" for z, m in zip(zips, metro, strict=True))
    usual_growth = rng.uniform(0.0015, 0.0035, size.metros)
    deviation, vacancy = rng.normal(0, 0.15, size.zips), rng.normal(-2.8, 0.2, size.zips)
    level = rng.normal(-0.25, 0.12, size.metros)
    start = MarketState(span.first_month - 36, level, usual_growth.copy(), deviation.copy(), vacancy.copy())
    market = Market(codes, metro, usual_growth, deviation, vacancy, start.month, (start,))
    states = [start]
    while states[-1].month < span.end_month:
        states.append(market.sample_next(states[-1], rng))
    return Market(codes, metro, usual_growth, deviation, vacancy, start.month, tuple(states))


def build_market_table(market: Market, span: Span, rng: np.random.Generator) -> pl.DataFrame:
    """What was published until the end: one source a zip code, some months revised, one source of a competitor, old."""
    months = np.arange(span.ledger_month, span.end_month)
    month, place, rooms = (a.ravel() for a in np.meshgrid(months, np.arange(len(market.zip_codes)), BEDROOMS, indexing="ij"))
    rent = np.exp(
        np.stack([market.log_rent(market.at(int(m))) for m in months]).ravel() + rng.normal(0, PUBLISHED_RENT_NOISE, len(month))
    )
    odds = np.stack([market.log_odds(market.at(int(m))) for m in months]).ravel() + rng.normal(
        0, PUBLISHED_VACANCY_NOISE, len(month)
    )
    own = np.isin(place, np.arange(0, len(market.zip_codes), 6))
    published = first_day(month + 1) + rng.integers(8, 13, len(month))
    final = pl.DataFrame(
        {
            "zip_code": np.array(market.zip_codes)[place],
            "bedrooms": rooms,
            "month": to_datetime(first_day(month)),
            "rent": rent,
            "vacancy_rate": logistic(odds).round(5),
            "median_price": money(np.round(rent * 12 / 0.062) * 100),
            "listings": rng.poisson(20 + 400 * logistic(odds)),
            "source": np.where(own, "own_book", "public_survey"),
            "provenance": np.where(own, "own", "public"),
            "published_at": to_datetime(published, 9.0),
        }
    )
    revised = rng.random(len(month)) < REVISION_SHARE
    first = final.filter(pl.Series(revised)).with_columns(
        rent=pl.col("rent") * pl.Series(np.exp(rng.normal(0, 0.01, int(revised.sum()))))
    )
    later = final.with_columns(
        published_at=pl.Series(np.where(revised, to_datetime(published + 31, 9.0), to_datetime(published, 9.0)))
    )
    old = (month < span.end_month - 13) & (month >= span.end_month - 19) & (place == 1)
    pool = final.filter(pl.Series(old)).with_columns(
        rent=pl.col("rent") * 1.02, source=pl.lit("rent_pool"), provenance=pl.lit("nonpublic_competitor")
    )
    every = pl.concat([first, later, pool]).with_columns(
        known_at=pl.col("published_at"),
        average_rent=money(np.round(np.concatenate([first["rent"], later["rent"], pool["rent"]]) * 100)),
    )
    return build_table("market", {c: every[c] for c in every.columns if c != "rent"}).filter(pl.col("known_at") <= END)


def compute_market_truth(market: Market, span: Span, horizons: int = 12) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Medians of average rent and vacancy for each zip|bedrooms and monthly cutoff: [entity, cutoff, h1…]."""
    entity = np.array([f"{z}|{b}" for z in market.zip_codes for b in BEDROOMS])
    rents, vacancies = [], []
    for month in range(span.end_month - 39, span.end_month + 1):
        state = market.at(month - 1)
        at = {"entity": entity, "cutoff": np.repeat(to_datetime(first_day(np.array([month]))), len(entity))}
        rent, vacancy = {}, {}
        for h in range(1, horizons + 1):
            state = market.compute_median_next(state)
            rent[f"h{h}"] = np.exp(market.log_rent(state)).ravel()
            vacancy[f"h{h}"] = logistic(market.log_odds(state)).ravel()
        rents.append(pl.DataFrame(at | rent))
        vacancies.append(pl.DataFrame(at | vacancy))
    return pl.concat(rents).sort("entity", "cutoff"), pl.concat(vacancies).sort("entity", "cutoff")
