"""Columns that are made without being asked for: parts of dates, combinations of numbers, and statistics of a category's level.

A `FeatureRecipe` says which of them a model gets. Dates and combinations are formulas; a `CategoryEncoding` is fitted on
training rows: how common a level is, or what the label's mean is at that level, drawn towards the mean of all as far as levels
differ by chance (empirical Bayes, Micci-Barreca 2001). A training row never gets a label's mean that its own label is in.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from epic22.core.task import Array, Column, Formula

NAN = float("nan")
NUMBERS = ("float", "int", "money", "bool")
MIN_PRIOR_STRENGTH = 1.0
"""A level's mean counts at most as if one row of the general mean stood beside its own."""


@dataclass(frozen=True)
class CategoryEncoding:
    """A statistic of the training rows by the levels of category `of`: its share of rows, or the label's mean.

    `level` is the class whose share is the mean; None for values.
    """

    of: str
    statistic: Literal["share", "target"]
    level: int | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        if self.statistic == "share":
            return f"share of {self.of}"
        return f"label by {self.of}" + ("" if self.level in (None, 1) else f", class {self.level}")

    @property
    def column(self) -> Column:
        """The column it makes."""
        text = f"share of rows with this {self.of}" if self.statistic == "share" else f"past labels of this {self.of}"
        return Column(
            self.name, "float", unit=None if self.level is None and self.statistic == "target" else "fraction", about=text
        )


@dataclass(frozen=True)
class FeatureRecipe:
    """What the matrix is made of: the inputs that are kept (None: all), more formulas, and encodings.

    >>> FeatureRecipe().is_empty
    True
    """

    inputs: tuple[str, ...] | None = None
    formulas: tuple[Formula, ...] = ()
    encodings: tuple[CategoryEncoding, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return self.inputs is None and not self.formulas and not self.encodings

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns that it makes."""
        return (*(formula.name for formula in self.formulas), *(encoding.name for encoding in self.encodings))

    def merge(self, more: "FeatureRecipe") -> "FeatureRecipe":
        """The same with the other's columns too."""
        return replace(self, formulas=(*self.formulas, *more.formulas), encodings=(*self.encodings, *more.encodings))

    def select(self, names: Collection[str]) -> "FeatureRecipe":
        """The same with the columns of these names alone."""
        formulas = tuple(formula for formula in self.formulas if formula.name in names)
        return replace(self, formulas=formulas, encodings=tuple(one for one in self.encodings if one.name in names))

    def drop(self, names: Collection[str], inputs: tuple[str, ...]) -> "FeatureRecipe":
        """The same without these columns; of `inputs`, one that a column left is made of is computed with, not shown to the
        model."""
        inputs_left = tuple(name for name in (self.inputs or inputs) if name not in names)
        return replace(self.select(set(self.column_names).difference(names)), inputs=inputs_left)


@dataclass(frozen=True)
class FittedEncoding:
    """A fitted encoding: `values` of each code of the category at `position` among the inputs, `default` for what has no code."""

    encoding: CategoryEncoding
    position: int
    values: Array
    default: float

    @property
    def column(self) -> Column:
        """The column it makes."""
        return self.encoding.column

    def row(self, values: Sequence[Any]) -> float:
        """Its value in one row of inputs' numbers."""
        code = values[self.position]
        return float(self.values[int(code)]) if code == code and code < len(self.values) else self.default

    def batch(self, values: Sequence[Array]) -> Array:
        """Its values (n,) in many rows."""
        return self.encode(values[self.position])

    def encode(self, codes: Array) -> Array:
        """Its values (n,) at these codes, NaN for none."""
        if not len(self.values):
            return np.full(len(codes), self.default)
        has_code = ~np.isnan(codes) & (codes < len(self.values))
        code = np.where(has_code, codes, 0).astype(np.int64)
        return np.where(has_code, self.values[code], self.default)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "FittedEncoding":
        """The encoding that its view was written from."""
        table = np.array([NAN if v is None else v for v in state["table"]], dtype=np.float64)
        otherwise = NAN if state["otherwise"] is None else float(state["otherwise"])
        return cls(CategoryEncoding(state["of"], state["what"], state["level"]), state["at"], table, otherwise)


def fit_encoding(encoding: CategoryEncoding, position: int, codes: Array, y: Array | None, n_levels: int) -> FittedEncoding:
    """The encoding fitted on training rows with these codes (n,), NaN for none, and labels (n,); there are this many levels."""
    has_code = ~np.isnan(codes)
    code = codes[has_code].astype(np.int64)
    counts = np.bincount(code, minlength=n_levels).astype(np.float64)
    if encoding.statistic == "share":
        return FittedEncoding(encoding, position, counts / max(len(codes), 1), NAN)
    if y is None:
        raise ValueError(f"{encoding.name} needs the labels of the training rows")
    label = y.astype(np.float64) if encoding.level is None else (y == encoding.level).astype(np.float64)
    prior = float(label.mean()) if len(label) else NAN
    sums = np.bincount(code, weights=label[has_code], minlength=n_levels)
    strength = compute_prior_strength(counts, sums, label[has_code], prior)
    table = np.full(n_levels, prior) if np.isinf(strength) else (sums + strength * prior) / (counts + strength)
    return FittedEncoding(encoding, position, table, prior)


def compute_prior_strength(counts: Array, sums: Array, label: Array, prior: float) -> float:
    """How many rows of the general mean stand beside a level's own: variance within levels over variance between them.

    The latter by the method of moments (analysis of variance); infinite where levels differ by no more than chance has it.
    """
    is_present = counts > 0
    n, n_levels = float(counts.sum()), int(is_present.sum())
    if n_levels < 2 or n <= n_levels:
        return float("inf")
    means = sums[is_present] / counts[is_present]
    within = float((np.square(label).sum() - (counts[is_present] * means**2).sum()) / (n - n_levels))
    between = float((counts[is_present] * (means - prior) ** 2).sum() - (n_levels - 1) * within) / (
        n - float((counts**2).sum()) / n
    )
    if between <= 0:
        return float("inf")
    return max(within / between, MIN_PRIOR_STRENGTH)


def propose_dates(columns: Sequence[Column]) -> tuple[Formula, ...]:
    """Month, weekday and hour of each time, and the days from each to each."""
    times = [column for column in _quotable(columns) if column.dtype == "time"]
    parts = [Formula(f"{part} of {c.name}", f"{part}(`{c.name}`)") for c in times for part in ("month", "weekday", "hour")]
    spans = [Formula(f"{b.name} - {a.name}", f"`{b.name}` - `{a.name}`", "days") for a, b in combinations(times, 2)]
    return (*parts, *spans)


def propose_encodings(
    columns: Sequence[Column], statistic: Literal["share", "target"], n_classes: int
) -> tuple[CategoryEncoding, ...]:
    """One encoding a category; of several classes' shares one each but the first."""
    categories = [column for column in columns if column.dtype == "category"]
    if statistic == "share":
        return tuple(CategoryEncoding(c.name, "share") for c in categories)
    levels = [None] if n_classes == 0 else list(range(1, n_classes))
    return tuple(CategoryEncoding(c.name, "target", level) for c in categories for level in levels)


def propose_combinations(columns: Sequence[Column]) -> Iterator[Formula]:
    """Product, sum, difference and both ratios of each two numbers."""
    numbers = [column for column in _quotable(columns) if column.dtype in NUMBERS]
    for a, b in combinations(numbers, 2):
        for x, sign, y in ((a, "*", b), (a, "+", b), (a, "-", b), (a, "/", b), (b, "/", a)):
            yield Formula(f"{x.name} {sign} {y.name}", f"`{x.name}` {sign} `{y.name}`")


def _quotable(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if "`" not in column.name]
