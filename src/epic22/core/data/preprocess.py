"""From typed columns to the float32 matrix that estimators see, alike to the last bit for a batch and for a row.

Numbers stay as they are, booleans become 0 and 1, times become days since 1970-01-01, categories become their code in a map
fixed at fit time. A missing value and a category never seen in training are both NaN; families treat NaN as missing. Derived
columns follow the inputs, computed in float64 from the inputs' numbers before all become float32. Where float32 would merge a
column's values, for they are large beside their spread, as numbers of accounts are, a centre is subtracted in float64 first.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import astuple, dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.feature_engineering import CategoryEncoding, FeatureRecipe, FittedEncoding, fit_encoding
from epic22.core.data.formula import Derivation, bind_formulas
from epic22.core.data.names import compose_accents
from epic22.core.data.sentinels import are_sentinels, is_sentinel
from epic22.core.serialization import collect_views, view
from epic22.core.task import Array, Column, Formula

MICROSECONDS_PER_DAY = 86_400_000_000
MAX_LEVELS = 255
"""More levels than this are kept by frequency; the rest count as unseen, so that one column cannot outgrow the model."""

MAX_ENCODED_LEVELS = 20_000
"""Levels of a category whose share or labels are tallied."""


MIN_RESOLUTION = 1e-5
"""A column is centred where float32 cannot part its values to this share of the range of nine in ten of them."""


def choose_center(values: Array) -> float:
    """What is to be subtracted of a column's values (n,), float64, before they become float32; 0.0 where that loses nothing.

    >>> choose_center(np.array([1e9, 1e9 + 1, 1e9 + 31]))
    1000000001.0
    >>> choose_center(np.array([0.1, 0.2, 1e9]))
    0.0
    """
    finite = values[np.isfinite(values)]
    rounded = finite.astype(np.float32).astype(np.float64)
    if not len(finite) or (rounded == finite).all():
        return 0.0
    low, high = np.quantile(finite, (0.05, 0.95))
    spread = (high - low) or float(np.ptp(finite))
    if float(np.spacing(np.float32(np.abs(finite).max()))) < MIN_RESOLUTION * spread:
        return 0.0
    distinct = np.unique(finite)
    # A whole number, so that differences to it are exact.
    candidates = (0.0, *(float(np.round(center)) for center in (np.median(finite), distinct[0], distinct[-1])))
    return max(candidates, key=lambda center: len(np.unique((distinct - center).astype(np.float32))))


def choose_center_of_range(low: float, high: float) -> float:
    """What is to be subtracted, as by `choose_center`, where nothing but the range of a column is known."""
    if not low < high or float(np.spacing(np.float32(max(-low, high)))) < MIN_RESOLUTION * (high - low):
        return 0.0
    return float(np.round((low + high) / 2))


def days_since_1970(value: date | datetime) -> float:
    """Days from 1970-01-01 00:00 UTC to a naive UTC moment, in exact integer microseconds until the last division."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    delta = moment - datetime(1970, 1, 1)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) / MICROSECONDS_PER_DAY


@dataclass(frozen=True)
class Preprocessor:
    """The fitted map from columns to a matrix (n, p) of float32. `levels` holds each category column's values by code.

    `derived` are the columns made of the inputs, each of those before it, in order. `selected` are the positions, among inputs
    and derived columns, of those that the matrix has; None: all.
    """

    columns: tuple[Column, ...]
    levels: Mapping[str, Mapping[str, int]]
    derived: tuple[Derivation | FittedEncoding, ...] = ()
    selected: tuple[int, ...] | None = None
    centers: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        columns: tuple[Column, ...],
        X: pl.DataFrame,
        y: Array | None = None,
        *,
        formulas: tuple[Formula, ...] = (),
        recipe: FeatureRecipe = FeatureRecipe(),
    ) -> "Preprocessor":
        """Learn the category maps from training rows, levels by falling frequency, then by name, and the recipe's encodings.

        Raises ColumnError for a formula that cannot be computed from the columns.
        """
        encoded = {encoding.of for encoding in recipe.encodings}
        levels = {
            c.name: _fit_levels(X[c.name], MAX_ENCODED_LEVELS if c.name in encoded else MAX_LEVELS)
            for c in columns
            if c.dtype == "category"
        }
        derived = bind_formulas((*formulas, *recipe.formulas), columns)
        fitted = cls(columns, levels, (*derived, *_fit_encodings(columns, levels, X, y, recipe.encodings)))
        fitted = replace(fitted, centers=fitted._fit_centers(X))
        if recipe.inputs is None:
            return fitted
        positions = [place for place, column in enumerate(columns) if column.name in recipe.inputs]
        return replace(fitted, selected=(*positions, *range(len(columns), len(columns) + len(fitted.derived))))

    @classmethod
    def fit_transform(
        cls,
        columns: tuple[Column, ...],
        X: pl.DataFrame,
        y: Array,
        parts: Sequence[tuple[Array, Array]],
        *,
        formulas: tuple[Formula, ...] = (),
        recipe: FeatureRecipe = FeatureRecipe(),
    ) -> tuple["Preprocessor", Array]:
        """The fitted map and the training rows' own matrix, in which a mean of labels is out of fold.

        `parts` are pairs of row numbers: fitted on the first, applied to the second; rows of no second have NaN there.
        """
        fitted = cls.fit(columns, X, y, formulas=formulas, recipe=recipe)
        values = fitted._compute_values(X)
        for place, lookup in enumerate(fitted.derived, start=len(columns)):
            if isinstance(lookup, FittedEncoding) and lookup.encoding.statistic == "target":
                codes, out_of_fold = values[lookup.position], np.full(X.height, np.nan)
                for train_rows, rows in parts:
                    known = fit_encoding(lookup.encoding, lookup.position, codes[train_rows], y[train_rows], len(lookup.values))
                    out_of_fold[rows] = known.encode(codes[rows])
                values[place] = out_of_fold
        return fitted, fitted._build_matrix(values)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """The matrix's columns: the inputs, then the derived ones; of them those that were picked."""
        columns = (*self.columns, *(derivation.column for derivation in self.derived))
        return columns if self.selected is None else tuple(columns[place] for place in self.selected)

    def transform(self, X: pl.DataFrame) -> Array:
        """The matrix (n, p) of a frame with the fitted columns, in any order."""
        if not self.columns:
            return np.empty((X.height, 0), dtype=np.float32)
        return self._build_matrix(self._compute_values(X))

    def transform_row(self, row: Mapping[str, Any]) -> Array:
        """The matrix (1, p) of one row given as plain values; an absent name counts as missing."""
        values = [self._to_number(row.get(column.name), column) for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.row(values))
        for place in self._overflow_positions:
            if values[place] >= MAX_LEVELS:
                values[place] = float("nan")
        for place, center in self._center_positions:
            values[place] -= center
        return np.array([values if self.selected is None else [values[place] for place in self.selected]], dtype=np.float32)

    def derive(self, X: pl.DataFrame) -> pl.DataFrame:
        """The derived columns of a frame, float64 with null for missing."""
        derived = self._compute_values(X)[len(self.columns) :]
        series = [pl.Series(d.column.name, values) for d, values in zip(self.derived, derived, strict=True)]
        return pl.DataFrame(series).fill_nan(None)

    def _compute_values(self, X: pl.DataFrame) -> list[Array]:
        """Inputs and derived columns in float64, each (n,)."""
        values = [self._to_numbers(X[column.name], column).to_numpy() for column in self.columns]
        for derivation in self.derived:
            values.append(derivation.batch([np.asarray(one, dtype=np.float64) for one in values]))
        return values

    def _build_matrix(self, values: Sequence[Array]) -> Array:
        places: Sequence[int] = range(len(values)) if self.selected is None else self.selected
        matrix = np.empty((len(values[0]), len(places)), dtype=np.float32)
        for j, place in enumerate(places):
            matrix[:, j] = (
                np.where(values[place] >= MAX_LEVELS, np.nan, values[place])
                if place in self._overflow_positions
                else values[place]
            )
        for place, center in self._center_positions:
            if place in places:
                matrix[:, places.index(place)] = values[place] - center
        return matrix

    def _fit_centers(self, X: pl.DataFrame) -> dict[str, float]:
        """The centres of the columns of numbers and times that need one, by name."""
        numbers = [c for c in self.columns if c.dtype in ("int", "float", "time")]
        values = {c.name: np.asarray(self._to_numbers(X[c.name], c).to_numpy(), dtype=np.float64) for c in numbers}
        if any(isinstance(derivation, Derivation) for derivation in self.derived):
            derived = self.derive(X)
            values |= {d.column.name: derived[d.column.name].to_numpy() for d in self.derived if isinstance(d, Derivation)}
        centers = {name: choose_center(column) for name, column in values.items()}
        return {name: center for name, center in centers.items() if center}

    @cached_property
    def _center_positions(self) -> tuple[tuple[int, float], ...]:
        """Positions of the columns that have a centre, and it."""
        names = [column.name for column in (*self.columns, *(derivation.column for derivation in self.derived))]
        return tuple((names.index(name), center) for name, center in self.centers.items())

    def restore_value(self, column: Column, value: float) -> float:
        """A number of the matrix as the column has it."""
        return value + self.centers.get(column.name, 0.0)

    @cached_property
    def spellings(self) -> Mapping[str, Mapping[str, int]]:
        """The levels by code as they may be written: accents as parts of their letters, or behind them as macOS has them.

        Files are read in the one form (NFC); models of versions before, and stored tables, may have levels in the other.
        """
        return {name: _add_spellings(levels) for name, levels in self.levels.items()}

    def rename(self, names: Mapping[str, str]) -> "Preprocessor":
        """The same with other names of its inputs, old to new; inputs that are not named keep theirs."""
        if not names:
            return self
        derived: list[Derivation | FittedEncoding] = []
        for one in self.derived:
            if isinstance(one, Derivation):
                derived.append(replace(one, names=tuple(names.get(name, name) for name in one.names)))
            else:
                derived.append(replace(one, encoding=replace(one.encoding, of=names.get(one.encoding.of, one.encoding.of))))
        return replace(
            self,
            columns=tuple(replace(column, name=names.get(column.name, column.name)) for column in self.columns),
            levels={names.get(name, name): levels for name, levels in self.levels.items()},
            derived=tuple(derived),
            centers={names.get(name, name): center for name, center in self.centers.items()},
        )

    @cached_property
    def _overflow_positions(self) -> tuple[int, ...]:
        """Positions of categories with more levels than the matrix tells apart."""
        return tuple(place for place, c in enumerate(self.columns) if len(self.levels.get(c.name, ())) > MAX_LEVELS)

    @classmethod
    def restore(cls, columns: tuple[Column, ...], state: Mapping[str, Any]) -> "Preprocessor":
        """The preprocessor that its view was written from."""
        levels = {name: {v: i for i, v in enumerate(levels)} for name, levels in state["levels"].items()}
        formulas = bind_formulas([Formula(*one) for one in state.get("formulas", ())], columns)
        encodings = tuple(FittedEncoding.restore(one) for one in state.get("tallies", ()))
        selected = state.get("picked")
        selection = None if selected is None else tuple(selected)
        return cls(columns, levels, (*formulas, *encodings), selection, state.get("centers", {}))

    def _to_numbers(self, series: pl.Series, column: Column) -> pl.Series:
        if column.dtype == "category":
            return series.cast(pl.String).replace_strict(self.spellings[column.name], default=None, return_dtype=pl.Float64)
        if column.dtype == "time":
            return series.cast(pl.Datetime("us")).dt.epoch("us") / MICROSECONDS_PER_DAY
        number = series.cast(pl.Float64)
        return number.set(are_sentinels(number, column.sentinels), None) if column.sentinels else number

    def _to_number(self, value: Any, column: Column) -> float:
        if value is None:
            return float("nan")
        if column.dtype == "category":
            return float(self.spellings[column.name].get(_to_text(value), float("nan")))
        if column.dtype == "time":
            return days_since_1970(value)
        return float("nan") if is_sentinel(value, column.sentinels) else float(value)


PREPROCESSING_VIEWS = collect_views(
    view(
        Preprocessor,
        "levels formulas? tallies? picked?=selected centers?",
        centers=lambda fitted: fitted.centers or None,
        levels=lambda fitted: {name: list(levels) for name, levels in fitted.levels.items()},
        formulas=lambda fitted: [astuple(d.formula) for d in fitted.derived if isinstance(d, Derivation)] or None,
        tallies=lambda fitted: [d for d in fitted.derived if isinstance(d, FittedEncoding)] or None,
    ),
    view(
        FittedEncoding, "of=encoding.of what=encoding.statistic level=encoding.level at=position table=values otherwise=default"
    ),
)
"""What `Preprocessor.restore` needs."""


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add_spellings(levels: Mapping[str, int]) -> Mapping[str, int]:
    if all(level.isascii() for level in levels):
        return levels
    decomposed = {unicodedata.normalize("NFD", level): code for level, code in levels.items()}
    return {**decomposed, **{compose_accents(level): code for level, code in levels.items()}, **levels}


def _fit_levels(series: pl.Series, max_levels: int) -> dict[str, int]:
    counts = series.cast(pl.String).drop_nulls().alias("level").value_counts().sort(["count", "level"], descending=[True, False])
    return {level: code for code, level in enumerate(counts["level"].head(max_levels))}


def _fit_encodings(
    columns: tuple[Column, ...],
    levels: Mapping[str, Mapping[str, int]],
    X: pl.DataFrame,
    y: Array | None,
    encodings: Sequence[CategoryEncoding],
) -> Iterator[FittedEncoding]:
    """The encodings fitted on all rows given."""
    plain, places = Preprocessor(columns, levels), {column.name: place for place, column in enumerate(columns)}
    for encoding in encodings:
        at = places[encoding.of]
        codes = plain._to_numbers(X[encoding.of], columns[at]).to_numpy()
        yield fit_encoding(encoding, at, np.asarray(codes, dtype=np.float64), y, len(levels[encoding.of]))


def describe_rarity(levels: Sized) -> str:
    """How often training saw a category that is not among the `levels` that it tells apart, in words.

    >>> describe_rarity(range(3)), describe_rarity(range(MAX_LEVELS))
    ('never', 'never or too seldom')
    """
    return "never" if len(levels) < MAX_LEVELS else "never or too seldom"


def decode_level(preprocessor: Preprocessor, column: Column, code: float) -> str | None:
    """The category that a code stands for, None for none."""
    return next((level for level, level_code in preprocessor.levels[column.name].items() if level_code == code), None)


def add_formula_columns(
    frame: pl.DataFrame, inputs: tuple[Column, ...], formulas: tuple[Formula, ...]
) -> tuple[pl.DataFrame, tuple[Column, ...]]:
    """The frame with the columns that formulas make of its inputs, and those columns: a formula can give the label away too."""
    if not formulas:
        return frame, ()
    preprocessor = Preprocessor.fit(inputs, frame, formulas=formulas)
    return frame.hstack(preprocessor.derive(frame)), tuple(derivation.column for derivation in preprocessor.derived)
