"""A forecasting task over one column of one table: who is eligible, what was known, what came after."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.history import Array, Frequency, Histories
from epic22.core.task import Column, Incumbent, Known, Later, Metric, Need, Rows, Target, Task

LEAST_VALUES = 3
"""A series with fewer known values at an origin is not forecast there."""

MOST_SILENT_CYCLES = 1
"""A series without a value for so long is over, and not forecast from later origins."""


@dataclass(frozen=True)
class Series:
    """What is forecast: a table's column, by period of its event time; `horizon` and `cycle` in periods."""

    table: str
    column: str
    columns: tuple[Column, ...]
    label: str
    unit: str | None
    frequency: Frequency
    horizon: int
    cycle: int


def series_task(
    series: Series,
    name: str,
    about: str,
    families: tuple[str, ...],
    incumbent: Incumbent | None = None,
    needs: tuple[Need, ...] = (),
) -> Task:
    """The task of forecasting the series from rolling origins, with quantiles; skill against the drift decides."""
    table, column, frequency, horizon = series.table, series.column, series.frequency, series.horizon

    def sequences(known: Known) -> Histories:
        return known.history(table, column, frequency)

    def rows(known: Known, cutoffs: pl.DataFrame) -> pl.DataFrame:
        histories = sequences(known)
        alive = histories.silent() <= MOST_SILENT_CYCLES * max(series.cycle, 1)
        return cutoffs.select("entity", "cutoff").filter(pl.Series((histories.known_counts() >= LEAST_VALUES) & alive))

    def labels(known: Known, later: Later) -> pl.DataFrame:
        ahead = later.path(table, column, frequency, horizon)
        return pl.DataFrame({str(h + 1): ahead[:, h] for h in range(horizon)})

    target = Target(
        series.label,
        "quantiles",
        labels,
        Metric("skill", _skill, greater_is_better=True, response="value"),
        tuple(float(h) for h in range(1, horizon + 1)),
        unit=series.unit,
    )
    return Task(
        name=name,
        columns=series.columns,
        targets=(target,),
        rows=rows,
        inputs=lambda known: pl.LazyFrame(),
        families=families,
        about=about,
        sequences=sequences,
        frequency=frequency,
        incumbent=incumbent,
        needs=needs,
    )


def _skill(y: Array, response: Array, rows: Rows) -> float:
    """1 − Σ|error| / Σscale, the scale being the drift's error of each row."""
    if rows.scale is None:
        return float("nan")
    return float(1 - np.abs(y - response).sum() / rows.scale.sum())
