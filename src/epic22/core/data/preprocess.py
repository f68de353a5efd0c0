"""From typed columns to the float32 matrix that estimators see, alike to the last bit for a batch and for a row.

Numbers stay as they are, booleans become 0 and 1, times become days since 1970-01-01, categories become their code in a map
fixed at fit time. A missing value and a category never seen in training are both NaN; families treat NaN as missing. Derived
columns follow the inputs, computed in float64 from the inputs' numbers before all become float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.formula import Derivation, bind_all
from epic22.core.task import Array, Column, Formula

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
    """The fitted map from columns to a matrix (n, p) of float32. `levels` holds each category column's values by code.

    `derived` are the columns made of the inputs, each of those before it, in order.
    """

    columns: tuple[Column, ...]
    levels: Mapping[str, Mapping[str, int]]
    derived: tuple[Derivation, ...] = ()

    @classmethod
    def fit(
        cls, columns: tuple[Column, ...], X: pl.DataFrame, y: Array | None = None, *, formulas: tuple[Formula, ...] = ()
    ) -> "Preprocessor":
        """Learn the category maps from training rows: levels by falling frequency, then by name.

        Raises ColumnError for a formula that cannot be computed from the columns.
        """
        return cls(columns, {c.name: _codes(X[c.name]) for c in columns if c.dtype == "category"}, bind_all(formulas, columns))

    @property
    def outputs(self) -> tuple[Column, ...]:
        """The matrix's columns: the inputs, then the derived ones."""
        return (*self.columns, *(derivation.column for derivation in self.derived))

    def transform(self, X: pl.DataFrame) -> Array:
        """The matrix (n, p) of a frame with the fitted columns, in any order."""
        if not self.columns:
            return np.empty((X.height, 0), dtype=np.float32)
        values = self._values(X)
        matrix = np.empty((X.height, len(values)), dtype=np.float32)
        for j, column in enumerate(values):
            matrix[:, j] = column
        return matrix

    def transform_row(self, row: Mapping[str, Any]) -> Array:
        """The matrix (1, p) of one row given as plain values; an absent name counts as missing."""
        values = [self._number(row.get(column.name), column) for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.row(values))
        return np.array([values], dtype=np.float32)

    def derive(self, X: pl.DataFrame) -> pl.DataFrame:
        """The derived columns of a frame, float64 with null for missing."""
        made = self._values(X)[len(self.columns) :]
        series = [pl.Series(d.column.name, values) for d, values in zip(self.derived, made, strict=True)]
        return pl.DataFrame(series).fill_nan(None)

    def _values(self, X: pl.DataFrame) -> list[Array]:
        """The outputs in float64, each (n,)."""
        values = [self._numbers(X[column.name], column).to_numpy() for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.batch([np.asarray(one, dtype=np.float64) for one in values]))
        return values

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON values."""
        levels = {name: list(levels) for name, levels in self.levels.items()}
        formulas = [[d.formula.name, d.formula.expression, d.formula.unit] for d in self.derived]
        return {"levels": levels} | ({"formulas": formulas} if formulas else {})

    @classmethod
    def restore(cls, columns: tuple[Column, ...], state: Mapping[str, Any]) -> "Preprocessor":
        """The preprocessor a `state` was taken from."""
        levels = {name: {v: i for i, v in enumerate(levels)} for name, levels in state["levels"].items()}
        return cls(columns, levels, bind_all([Formula(*one) for one in state.get("formulas", ())], columns))

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
    return preprocessor.outputs


def level_of(preprocessor: Preprocessor, column: Column, code: float) -> str | None:
    """The category that a code stands for, None for none."""
    return next((level for level, known in preprocessor.levels[column.name].items() if known == code), None)
