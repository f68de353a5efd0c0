"""Small panels with a drift, a season and noise."""

from pathlib import Path

import numpy as np
import polars as pl

from epic22.core.models.panel.base import MEDIAN_INDEX, Forecaster
from epic22.core.time_series import MONTHLY, Array, Frequency, Histories


def lines(series: int = 6, periods: int = 72, seed: int = 0, season: int = 4, low: float = 500.0) -> Array:
    """Positive values (series, periods) with a common factor, own drifts and a season."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.003, 0.004, (series, periods)) + rng.normal(0, 0.003, periods)[None, :]
    cycle = 0.03 * np.sin(2 * np.pi * np.arange(periods) / max(season, 2))
    start = low * (1 + np.arange(series))[:, None]
    return np.asarray(start * np.exp(np.cumsum(steps, axis=1) + cycle[None, :]))


def known(values: Array, end: int | None = None, frequency: Frequency = MONTHLY) -> Histories:
    """One history a series, known up to `end` periods."""
    names = np.array([f"series {i}" for i in range(len(values))], dtype=object)
    whole = Histories.of_lines(values, names, 12 * 45, frequency)
    return whole if end is None else whole.shift_back(np.full(len(values), values.shape[1] - end))


def wide_file(folder: Path, values: Array, name: str = "rents.csv", order: Array | None = None) -> Path:
    """The values as a wide file of months from 2015 on; NaN is an empty cell."""
    months = [f"{2015 + i // 12}-{i % 12 + 1:02d}-28" for i in range(values.shape[1])]
    frame = pl.DataFrame({"zip": [f"zip {i:02d}" for i in range(len(values))], "rank": range(len(values))})
    columns = [
        pl.Series(month, [None if np.isnan(v) else round(float(v), 2) for v in values[:, i]], dtype=pl.Float64)
        for i, month in enumerate(months)
    ]
    frame = frame.with_columns(columns)
    path = folder / name
    (frame if order is None else frame[order]).write_csv(path)
    return path


def predict_median(forecaster: Forecaster, histories: Histories) -> Array:
    """The middle quantile of each forecast, (n, horizon)."""
    return np.asarray(forecaster.predict_quantiles(histories)[:, :, MEDIAN_INDEX])
