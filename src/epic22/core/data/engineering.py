"""Columns that are made without being asked for: parts of dates, combinations of numbers, and statistics of a category's level.

A `Recipe` says which of them a model gets. Dates and combinations are formulas; a `Tally` is fitted on training rows: how common
a level is, or what the label's mean is at that level, drawn towards the mean of all as far as levels differ by chance
(empirical Bayes, Micci-Barreca 2001). A training row never gets a label's mean that its own label is in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from epic22.core.task import Array, Column, Formula

NAN = float("nan")
NUMBERS = ("float", "int", "money", "bool")
LEAST_STRENGTH = 1.0
"""A level's mean counts at most as if one row of the general mean stood beside its own."""


@dataclass(frozen=True)
class Tally:
    """A statistic of the training rows by the levels of category `of`: its share of rows, or the label's mean.

    `level` is the class whose share is the mean; None for values.
    """

    of: str
    what: Literal["share", "target"]
    level: int | None = None

    @property
    def name(self) -> str:
        """The column's name."""
        if self.what == "share":
            return f"share of {self.of}"
        return f"label by {self.of}" + ("" if self.level in (None, 1) else f", class {self.level}")

    @property
    def column(self) -> Column:
        """The column it makes."""
        said = f"share of rows with this {self.of}" if self.what == "share" else f"past labels of this {self.of}"
        return Column(self.name, "float", unit=None if self.level is None and self.what == "target" else "fraction", about=said)


@dataclass(frozen=True)
class Recipe:
    """What the matrix is made of: the inputs that are kept (None: all), more formulas, and tallies.

    >>> Recipe().empty
    True
    """

    inputs: tuple[str, ...] | None = None
    formulas: tuple[Formula, ...] = ()
    tallies: tuple[Tally, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it changes nothing."""
        return self.inputs is None and not self.formulas and not self.tallies


@dataclass(frozen=True)
class Lookup:
    """A fitted tally: the value of each code of the category at position `at`, and of what has no code."""

    tally: Tally
    at: int
    table: Array
    otherwise: float

    @property
    def column(self) -> Column:
        """The column it makes."""
        return self.tally.column

    def row(self, values: Sequence[Any]) -> float:
        """Its value in one row of inputs' numbers."""
        code = values[self.at]
        return float(self.table[int(code)]) if code == code and code < len(self.table) else self.otherwise

    def batch(self, values: Sequence[Array]) -> Array:
        """Its values (n,) in many rows."""
        return self.of_codes(values[self.at])

    def of_codes(self, codes: Array) -> Array:
        """Its values (n,) at these codes, NaN for none."""
        if not len(self.table):
            return np.full(len(codes), self.otherwise)
        known = ~np.isnan(codes) & (codes < len(self.table))
        place = np.where(known, codes, 0).astype(np.int64)
        return np.where(known, self.table[place], self.otherwise)

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as plain JSON values."""
        asked = {"of": self.tally.of, "what": self.tally.what, "level": self.tally.level}
        otherwise = None if np.isnan(self.otherwise) else self.otherwise
        return {**asked, "at": self.at, "table": [None if np.isnan(v) else float(v) for v in self.table], "otherwise": otherwise}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> "Lookup":
        """The lookup a `state` was taken from."""
        table = np.array([NAN if v is None else v for v in state["table"]], dtype=np.float64)
        otherwise = NAN if state["otherwise"] is None else float(state["otherwise"])
        return cls(Tally(state["of"], state["what"], state["level"]), state["at"], table, otherwise)


def fit_tally(tally: Tally, at: int, codes: Array, y: Array | None, levels: int) -> Lookup:
    """The tally over training rows with these codes (n,), NaN for none, and labels (n,); there are so many levels."""
    known = ~np.isnan(codes)
    code = codes[known].astype(np.int64)
    counts = np.bincount(code, minlength=levels).astype(np.float64)
    if tally.what == "share":
        return Lookup(tally, at, counts / max(len(codes), 1), NAN)
    if y is None:
        raise ValueError(f"{tally.name} needs the labels of the training rows")
    label = y.astype(np.float64) if tally.level is None else (y == tally.level).astype(np.float64)
    prior = float(label.mean()) if len(label) else NAN
    sums = np.bincount(code, weights=label[known], minlength=levels)
    strength = prior_strength(counts, sums, label[known], prior)
    table = np.full(levels, prior) if np.isinf(strength) else (sums + strength * prior) / (counts + strength)
    return Lookup(tally, at, table, prior)


def prior_strength(counts: Array, sums: Array, label: Array, prior: float) -> float:
    """How many rows of the general mean stand beside a level's own: variance within levels over variance between them.

    The latter by the method of moments (analysis of variance); infinite where levels differ by no more than chance has it.
    """
    held = counts > 0
    n, levels = float(counts.sum()), int(held.sum())
    if levels < 2 or n <= levels:
        return float("inf")
    means = sums[held] / counts[held]
    within = float((np.square(label).sum() - (counts[held] * means**2).sum()) / (n - levels))
    between = float((counts[held] * (means - prior) ** 2).sum() - (levels - 1) * within) / (n - float((counts**2).sum()) / n)
    if between <= 0:
        return float("inf")
    return max(within / between, LEAST_STRENGTH)


def out_of_fold(fit: Callable[[Array], Lookup], codes: Array, parts: Sequence[tuple[Array, Array]]) -> Array:
    """A tally's values (n,) for the training rows themselves: each part (fitted rows, their rows) by its own fit, else NaN."""
    values = np.full(len(codes), NAN)
    for fitted, told in parts:
        values[told] = fit(fitted).of_codes(codes[told])
    return values


Kinds = Literal["dates", "shares", "label means", "combinations"]


def propose_dates(columns: Sequence[Column]) -> tuple[Formula, ...]:
    """Month, weekday and hour of each time, and the days from each to each."""
    times = [column for column in _quotable(columns) if column.dtype == "time"]
    parts = [Formula(f"{part} of {c.name}", f"{part}(`{c.name}`)") for c in times for part in ("month", "weekday", "hour")]
    spans = [Formula(f"{b.name} - {a.name}", f"`{b.name}` - `{a.name}`", "days") for a, b in combinations(times, 2)]
    return (*parts, *spans)


def propose_tallies(columns: Sequence[Column], what: Literal["share", "target"], classes: int) -> tuple[Tally, ...]:
    """One tally a category; of several classes' shares one each but the first."""
    categories = [column for column in columns if column.dtype == "category"]
    if what == "share":
        return tuple(Tally(c.name, "share") for c in categories)
    levels = [None] if classes == 0 else list(range(1, classes))
    return tuple(Tally(c.name, "target", level) for c in categories for level in levels)


def propose_combinations(columns: Sequence[Column]) -> Iterator[Formula]:
    """Product, sum, difference and both ratios of each two numbers."""
    numbers = [column for column in _quotable(columns) if column.dtype in NUMBERS]
    for a, b in combinations(numbers, 2):
        for x, sign, y in ((a, "*", b), (a, "+", b), (a, "-", b), (a, "/", b), (b, "/", a)):
            yield Formula(f"{x.name} {sign} {y.name}", f"`{x.name}` {sign} `{y.name}`")


def _quotable(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if "`" not in column.name]
