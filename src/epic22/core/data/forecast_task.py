"""A forecasting task over one column of one table: who is eligible, what was known, what came after."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from epic22.core.statistics import MetricBounds
from epic22.core.task import AsOfView, Column, DataRequirement, Future, Incumbent, Metric, RowMetadata, Target, Task
from epic22.core.time_series import Array, Frequency, Histories

MIN_VALUES = 3
"""A series with fewer known values at an origin is not forecast there."""

MAX_SILENT_CYCLES = 1
"""A series without a value for so long is over, and not forecast from later origins."""


@dataclass(frozen=True)
class ForecastSeries:
    """What is forecast: a table's column, by period of its event time; `horizon` and `cycle` in periods."""

    table: str
    column: str
    columns: tuple[Column, ...]
    label: str
    unit: str | None
    frequency: Frequency
    horizon: int
    cycle: int


def build_forecast_task(
    series: ForecastSeries,
    name: str,
    about: str,
    families: tuple[str, ...],
    incumbent: Incumbent | None = None,
    needs: tuple[DataRequirement, ...] = (),
) -> Task:
    """The task of forecasting the series from rolling origins, with quantiles; skill against the drift decides."""
    table, column, frequency, horizon = series.table, series.column, series.frequency, series.horizon

    def read_histories(view: AsOfView) -> Histories:
        return view.history(table, column, frequency)

    def select_rows(view: AsOfView, cutoffs: pl.DataFrame) -> pl.DataFrame:
        histories = read_histories(view)
        is_active = histories.periods_since_last_value() <= MAX_SILENT_CYCLES * max(series.cycle, 1)
        return cutoffs.select("entity", "cutoff").filter(pl.Series((histories.count_known_values() >= MIN_VALUES) & is_active))

    def compute_labels(view: AsOfView, future: Future) -> pl.DataFrame:
        future_values = future.values(table, column, frequency, horizon)
        return pl.DataFrame({str(h + 1): future_values[:, h] for h in range(horizon)})

    target = Target(
        series.label,
        "quantiles",
        compute_labels,
        Metric("skill", _compute_skill, greater_is_better=True, response="value", bounds=MetricBounds(maximum=1.0)),
        tuple(float(h) for h in range(1, horizon + 1)),
        unit=series.unit,
    )
    return Task(
        name=name,
        columns=series.columns,
        targets=(target,),
        rows=select_rows,
        inputs=lambda view: pl.LazyFrame(),
        families=families,
        about=about,
        sequences=read_histories,
        frequency=frequency,
        incumbent=incumbent,
        requirements=needs,
    )


def _compute_skill(y: Array, response: Array, rows: RowMetadata) -> float:
    """1 − Σ|error| / Σscale, the scale being the drift's error of each row."""
    if rows.scale is None:
        return float("nan")
    return float(1 - np.abs(y - response).sum() / rows.scale.sum())
