"""From typed columns to the float32 matrix that estimators see, alike to the last bit for a batch and for a row.

Numbers stay as they are, booleans become 0 and 1, times become days since 1970-01-01, categories become their code in a map
fixed at fit time. A missing value and a category never seen in training are both NaN; families treat NaN as missing. Derived
columns follow the inputs, computed in float64 from the inputs' numbers before all become float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.engineering import Lookup, Recipe, Tally, fit_tally, out_of_fold
from epic22.core.data.formula import Derivation, bind_all
from epic22.core.task import Array, Column, Formula

MICROSECONDS_A_DAY = 86_400_000_000
MAX_LEVELS = 255
"""More levels than this are kept by frequency; the rest count as unseen, so that one column cannot outgrow the model."""

MOST_TALLIED = 20_000
"""Levels of a category whose share or labels are tallied."""


def days_since_1970(value: date | datetime) -> float:
    """Days from 1970-01-01 00:00 UTC to a naive UTC moment, in exact integer microseconds until the last division."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    delta = moment - datetime(1970, 1, 1)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) / MICROSECONDS_A_DAY


@dataclass(frozen=True)
class Preprocessor:
    """The fitted map from columns to a matrix (n, p) of float32. `levels` holds each category column's values by code.

    `derived` are the columns made of the inputs, each of those before it, in order. `picked` are the positions, among inputs and
    derived columns, of those that the matrix has; None: all.
    """

    columns: tuple[Column, ...]
    levels: Mapping[str, Mapping[str, int]]
    derived: tuple[Derivation | Lookup, ...] = ()
    picked: tuple[int, ...] | None = None

    @classmethod
    def fit(
        cls,
        columns: tuple[Column, ...],
        X: pl.DataFrame,
        y: Array | None = None,
        *,
        formulas: tuple[Formula, ...] = (),
        recipe: Recipe = Recipe(),
    ) -> "Preprocessor":
        """Learn the category maps from training rows, levels by falling frequency, then by name, and the recipe's tallies.

        Raises ColumnError for a formula that cannot be computed from the columns.
        """
        tallied = {tally.of for tally in recipe.tallies}
        levels = {c.name: _codes(X[c.name], MOST_TALLIED if c.name in tallied else MAX_LEVELS) for c in columns if _coded(c)}
        derived = bind_all((*formulas, *recipe.formulas), columns)
        fitted = cls(columns, levels, (*derived, *_tallied(columns, levels, X, y, recipe.tallies)))
        return fitted if recipe.inputs is None else replace(fitted, picked=fitted._places(recipe.inputs))

    @classmethod
    def fit_transform(
        cls,
        columns: tuple[Column, ...],
        X: pl.DataFrame,
        y: Array,
        parts: Sequence[tuple[Array, Array]],
        *,
        formulas: tuple[Formula, ...] = (),
        recipe: Recipe = Recipe(),
    ) -> tuple["Preprocessor", Array]:
        """The fitted map and the training rows' own matrix, in which a mean of labels is out of fold.

        `parts` are pairs of row numbers: fitted on the first, told to the second; rows told by none have NaN there.
        """
        fitted = cls.fit(columns, X, y, formulas=formulas, recipe=recipe)
        values = fitted._values(X)
        for place, lookup in enumerate(fitted.derived, start=len(columns)):
            if isinstance(lookup, Lookup) and lookup.tally.what == "target":
                codes, levels = values[lookup.at], len(lookup.table)
                values[place] = out_of_fold(
                    lambda rows, one=lookup, codes=codes, levels=levels: fit_tally(  # type: ignore[misc]
                        one.tally, one.at, codes[rows], y[rows], levels
                    ),
                    codes,
                    parts,
                )
        return fitted, fitted._matrix(values)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """The matrix's columns: the inputs, then the derived ones; of them those that were picked."""
        made = (*self.columns, *(derivation.column for derivation in self.derived))
        return made if self.picked is None else tuple(made[place] for place in self.picked)

    def transform(self, X: pl.DataFrame) -> Array:
        """The matrix (n, p) of a frame with the fitted columns, in any order."""
        if not self.columns:
            return np.empty((X.height, 0), dtype=np.float32)
        return self._matrix(self._values(X))

    def transform_row(self, row: Mapping[str, Any]) -> Array:
        """The matrix (1, p) of one row given as plain values; an absent name counts as missing."""
        values = [self._number(row.get(column.name), column) for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.row(values))
        for place in self._long:
            if values[place] >= MAX_LEVELS:
                values[place] = float("nan")
        return np.array([values if self.picked is None else [values[place] for place in self.picked]], dtype=np.float32)

    def derive(self, X: pl.DataFrame) -> pl.DataFrame:
        """The derived columns of a frame, float64 with null for missing."""
        made = self._values(X)[len(self.columns) :]
        series = [pl.Series(d.column.name, values) for d, values in zip(self.derived, made, strict=True)]
        return pl.DataFrame(series).fill_nan(None)

    def _values(self, X: pl.DataFrame) -> list[Array]:
        """Inputs and derived columns in float64, each (n,)."""
        values = [self._numbers(X[column.name], column).to_numpy() for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.batch([np.asarray(one, dtype=np.float64) for one in values]))
        return values

    def _matrix(self, values: Sequence[Array]) -> Array:
        places = range(len(values)) if self.picked is None else self.picked
        matrix = np.empty((len(values[0]), len(places)), dtype=np.float32)
        for j, place in enumerate(places):
            matrix[:, j] = np.where(values[place] >= MAX_LEVELS, np.nan, values[place]) if place in self._long else values[place]
        return matrix

    @cached_property
    def _long(self) -> tuple[int, ...]:
        """Positions of categories with more levels than the matrix tells apart."""
        return tuple(place for place, c in enumerate(self.columns) if len(self.levels.get(c.name, ())) > MAX_LEVELS)

    def _places(self, inputs: Sequence[str]) -> tuple[int, ...]:
        kept = [place for place, column in enumerate(self.columns) if column.name in inputs]
        return (*kept, *range(len(self.columns), len(self.columns) + len(self.derived)))

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON values."""
        levels = {name: list(levels) for name, levels in self.levels.items()}
        formulas = [[d.formula.name, d.formula.expression, d.formula.unit] for d in self.derived if isinstance(d, Derivation)]
        tallies = [d.state() for d in self.derived if isinstance(d, Lookup)]
        state: dict[str, Any] = {"levels": levels}
        if formulas:
            state["formulas"] = formulas
        if tallies:
            state["tallies"] = tallies
        return state if self.picked is None else state | {"picked": list(self.picked)}

    @classmethod
    def restore(cls, columns: tuple[Column, ...], state: Mapping[str, Any]) -> "Preprocessor":
        """The preprocessor a `state` was taken from."""
        levels = {name: {v: i for i, v in enumerate(levels)} for name, levels in state["levels"].items()}
        formulas = bind_all([Formula(*one) for one in state.get("formulas", ())], columns)
        tallies = tuple(Lookup.restore(one) for one in state.get("tallies", ()))
        picked = state.get("picked")
        return cls(columns, levels, (*formulas, *tallies), None if picked is None else tuple(picked))

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


def _coded(column: Column) -> bool:
    return column.dtype == "category"


def _codes(series: pl.Series, most: int) -> dict[str, int]:
    counted = series.cast(pl.String).drop_nulls().alias("level").value_counts().sort(["count", "level"], descending=[True, False])
    return {level: code for code, level in enumerate(counted["level"].head(most))}


def _tallied(
    columns: tuple[Column, ...],
    levels: Mapping[str, Mapping[str, int]],
    X: pl.DataFrame,
    y: Array | None,
    tallies: Sequence[Tally],
) -> Iterator[Lookup]:
    """The tallies fitted on all rows given."""
    plain, places = Preprocessor(columns, levels), {column.name: place for place, column in enumerate(columns)}
    for tally in tallies:
        at = places[tally.of]
        codes = plain._numbers(X[tally.of], columns[at]).to_numpy()
        yield fit_tally(tally, at, np.asarray(codes, dtype=np.float64), y, len(levels[tally.of]))


def outputs_of(preprocessor: Preprocessor) -> tuple[Column, ...]:
    """The columns of the matrix, in its order."""
    return preprocessor.outputs


def level_of(preprocessor: Preprocessor, column: Column, code: float) -> str | None:
    """The category that a code stands for, None for none."""
    return next((level for level, known in preprocessor.levels[column.name].items() if known == code), None)
