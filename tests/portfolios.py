"""A tiny simulated portfolio for tests, made once a process; and the same with its future replaced at random."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl

from epic22.core.data.point_in_time import build_tables
from epic22.core.data.task_data import PanelTaskData, TaskData
from epic22.core.lineage import DataVersion
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT
from epic22.features.catalog import get_feature
from epic22.simulator.portfolio import Portfolio, PortfolioSize, simulate

TINY = PortfolioSize(
    "tiny", properties=8, metros=2, zips=3, units=160, reading_days=6, years_of_ledger=5, years_of_burn_in=1, replicates=5
)
Frames = Mapping[str, pl.DataFrame]


@cache
def tiny_portfolio() -> Portfolio:
    """160 units in 8 properties, 3 years of leases."""
    return simulate(TINY, seed=7)


def portfolio_assignment(name: str, frames: Frames | None = None) -> TaskData | PanelTaskData:
    """The assignment of a feature of the catalog, on the tiny portfolio or on other frames."""
    feature, tiny = get_feature(name), tiny_portfolio()
    if frames is None:
        return _of_tiny(name)
    return feature.bind(feature.task, build_tables(frames, tiny.end), DataVersion("v0", ()))


@cache
def _of_tiny(name: str) -> TaskData | PanelTaskData:
    feature, tiny = get_feature(name), tiny_portfolio()
    return feature.bind(feature.task, build_tables(tiny.tables, tiny.end), DataVersion("v0", ()))


def scrambled_portfolio(moment: datetime, seed: int) -> dict[str, pl.DataFrame]:
    """The tables with all that became known after the moment replaced at random: rows, versions, columns known later."""
    rng = np.random.default_rng(seed)
    return {table.name: _scrambled(tiny_portfolio().tables[table.name], table.name, moment, rng) for table in CANONICAL}


def _scrambled(frame: pl.DataFrame, name: str, moment: datetime, rng: np.random.Generator) -> pl.DataFrame:
    declared = next(table for table in CANONICAL if table.name == name)
    after = pl.col(KNOWN_AT) > moment
    past, future = frame.filter(~after), frame.filter(after)
    late = [c for c in declared.columns if c.known_when is not None]
    past = past.with_columns(
        pl.when(pl.col(c.known_when or "") > moment)
        .then(
            _later_or_never(moment, past.height, rng)
            if c.name == c.known_when
            else pl.col(c.name).shuffle(int(rng.integers(1 << 30)))
        )
        .otherwise(pl.col(c.name))
        .alias(c.name)
        for c in late
    )
    fixed = {*declared.key, KNOWN_AT, declared.event_at}
    shuffled = future.with_columns(
        pl.col(c).shuffle(int(rng.integers(1 << 30))) for c in future.columns if c not in fixed
    ).sample(fraction=0.7, seed=int(rng.integers(1 << 30)))
    return pl.concat([past, shuffled])


def _later_or_never(moment: datetime, n: int, rng: np.random.Generator) -> pl.Expr:
    """Other moments, still after this one, or none: n values."""
    later = pl.Series([moment] * n, dtype=pl.Datetime("us")) + pl.Series(rng.integers(1, 400, n)) * timedelta(days=1)
    return pl.lit(later.set(pl.Series(rng.random(n) < 0.5), None))
