"""From typed columns to the float32 matrix that estimators see, alike to the last bit for a batch and for a row.

Numbers stay as they are, booleans become 0 and 1, times become days since 1970-01-01, categories become their code in a map
fixed at fit time. A missing value and a category never seen in training are both NaN; families treat NaN as missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from epic22.core.task import Array, Column

MICROSECONDS_A_DAY = 86_400_000_000
MAX_LEVELS = 255
"""More levels than this are kept by frequency; the rest count as unseen, so that one column cannot outgrow the model."""


def days_since_1970(value: date | datetime) -> float:
    """Days from 1970-01-01 00:00 UTC to a naive UTC moment, in exact integer microseconds until the last division."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    delta = moment - datetime(1970, 1, 1)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) / MICROSECONDS_A_DAY


@dataclass(frozen=True)
class Preprocessor:
    """The fitted map from columns to a matrix (n, p) of float32. `levels` holds each category column's values by code."""

    columns: tuple[Column, ...]
    levels: Mapping[str, Mapping[str, int]]

    @classmethod
    def fit(cls, columns: tuple[Column, ...], X: pl.DataFrame) -> "Preprocessor":
        """Learn the category maps from training rows: levels by falling frequency, then by name."""
        return cls(columns, {c.name: _codes(X[c.name]) for c in columns if c.dtype == "category"})

    def transform(self, X: pl.DataFrame) -> Array:
        """The matrix (n, p) of a frame with the fitted columns, in any order."""
        if not self.columns:
            return np.empty((X.height, 0), dtype=np.float32)
        matrix = [self._numbers(X[column.name], column).to_numpy() for column in self.columns]
        return np.column_stack(matrix).astype(np.float32)

    def transform_row(self, row: Mapping[str, Any]) -> Array:
        """The matrix (1, p) of one row given as plain values; an absent name counts as missing."""
        return np.array([[self._number(row.get(column.name), column) for column in self.columns]], dtype=np.float32)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON values."""
        return {"levels": {name: list(levels) for name, levels in self.levels.items()}}

    @classmethod
    def restore(cls, columns: tuple[Column, ...], state: Mapping[str, Any]) -> "Preprocessor":
        """The preprocessor a `state` was taken from."""
        return cls(columns, {name: {v: i for i, v in enumerate(levels)} for name, levels in state["levels"].items()})

    def _numbers(self, series: pl.Series, column: Column) -> pl.Series:
        if column.dtype == "category":
            return series.cast(pl.String).replace_strict(self.levels[column.name], default=None, return_dtype=pl.Float64)
        if column.dtype == "time":
            return series.cast(pl.Datetime("us")).dt.epoch("us") / MICROSECONDS_A_DAY
        return series.cast(pl.Float64)

    def _number(self, value: Any, column: Column) -> float:
        if value is None:
            return float("nan")
        if column.dtype == "category":
            return float(self.levels[column.name].get(_text(value), float("nan")))
        return days_since_1970(value) if column.dtype == "time" else float(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _codes(series: pl.Series) -> dict[str, int]:
    counted = series.cast(pl.String).drop_nulls().alias("level").value_counts().sort(["count", "level"], descending=[True, False])
    return {level: code for code, level in enumerate(counted["level"].head(MAX_LEVELS))}


def outputs_of(preprocessor: Preprocessor) -> tuple[Column, ...]:
    """The columns of the matrix, in its order."""
    return tuple(getattr(preprocessor, "outputs", preprocessor.columns))


def level_of(preprocessor: Preprocessor, column: Column, code: float) -> str | None:
    """The category that a code stands for, None for none."""
    return next((level for level, known in preprocessor.levels[column.name].items() if known == code), None)
