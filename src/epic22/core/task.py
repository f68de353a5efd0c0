"""The declaration of what is predicted: columns, target, metric, task, and the protocols a task is written against.

Times are UTC. n = rows, p = input columns, h = horizons, k = classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from epic22.core.history import Frequency, Histories

Array = NDArray[Any]
Dtype = Literal["float", "int", "bool", "category", "time", "text"]
Role = Literal["input", "id", "time", "group", "label", "protected", "never"]
Kind = Literal["binary", "multiclass", "regression", "quantiles", "hazard"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `low` and `high` are the bounds a value may have (in `unit`); without them anything finite passes. `levels` are the
    values a category may have, as text. `known_when` names the time column after which this column's value is known.
    `about` says in plain words what it is, for the reasons shown to people.
    """

    name: str
    dtype: Dtype
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()
    optional: bool = False
    role: Role = "input"
    known_when: str | None = None
    about: str = ""


@dataclass(frozen=True)
class Rows:
    """What a metric may need to know of its rows besides label and response; every array has n entries or is None.

    `weight` multiplies a row; `scale` divides its error (MASE and its kin); `entity`, `at` and `group` serve metrics by
    capacity, month or group.
    """

    weight: Array | None = None
    scale: Array | None = None
    entity: Array | None = None
    at: Array | None = None
    group: Array | None = None


@dataclass(frozen=True)
class Metric:
    """A score of responses against labels, named as scikit-learn names it.

    `score(y, response, rows)`: y (n,) class codes or values; response (n,) probability of the positive class or value, or
    (n, k) class probabilities. It is NaN where undefined (one class only, say). `response` is what it judges.
    """

    name: str
    score: Callable[[Array, Array, Rows], float]
    greater_is_better: bool
    response: Literal["probability", "label", "value"]
    unit: str | None = None

    def gain(self, a: float, b: float) -> float:
        """How much better score `a` is than score `b`, in the metric's unit; positive = better."""
        return a - b if self.greater_is_better else b - a


class Known(Protocol):
    """What was known at each row's own cutoff; never hands out a raw table."""

    @property
    def at(self) -> pl.DataFrame:
        """Frame [entity, cutoff], one row per prediction."""

    def latest(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the entity's latest row version known then, nulls where there is none: n rows."""

    def window(self, table: str, span: timedelta) -> pl.DataFrame:
        """All of the entity's rows with known_at in (cutoff - span, cutoff], with `row`, the index into `at`."""

    def count(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, how many rows the window holds: n integers."""

    def rate(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, the window's rows per day: n floats."""

    def lag(self, table: str, column: str, steps: int) -> pl.Series:
        """Per row of `at`, the column's value `steps` versions before the latest known one: n values, null before the first."""

    def history(self, table: str, column: str, frequency: Frequency) -> Histories:
        """Per row of `at`, the column's values by period of the table's event time, over and known at the cutoff."""


class Later(Protocol):
    """What happened after each row's cutoff, for labels alone."""

    @property
    def at(self) -> pl.DataFrame:
        """Frame [entity, cutoff], one row per prediction."""

    def window(self, table: str) -> pl.DataFrame:
        """The entity's rows with event time in (cutoff, cutoff + horizon], with `row`, the index into `at`."""

    def path(self, table: str, column: str, frequency: Frequency, horizon: int) -> Array:
        """Per row of `at`, the column's values of the `horizon` periods after the cutoff, (n, horizon); NaN where none is."""

    def stated(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the row of a label table that was written for exactly this entity and cutoff: n rows."""


@dataclass(frozen=True)
class Target:
    """What is predicted. The labels function gives a frame (n, h), one column a horizon.

    `classes` are the names of class codes 0…k-1 (for a binary target the positive one is the second). `horizons` are in
    days, in periods where the task has a frequency; empty when the label belongs to the row itself. `guards` are metrics
    that must not get worse.
    """

    name: str
    kind: Kind
    labels: Callable[[Known, Later], pl.DataFrame]
    metric: Metric
    horizons: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    guards: tuple[Metric, ...] = ()
    unit: str | None = None

    @property
    def horizon(self) -> float | None:
        """The horizon in days where there is exactly one, else None."""
        return self.horizons[0] if len(self.horizons) == 1 else None


@dataclass(frozen=True)
class Incumbent:
    """The rule that runs today. `kind` says how to judge it: a ranking score by average precision alone."""

    name: str
    kind: Literal["ranking", "probability", "value"]
    respond: Callable[[Known], Array]


@dataclass(frozen=True)
class Task:
    """The declaration of a feature: who is predicted, when, from what, what for. The first target decides.

    A task with a `frequency` is a forecast: its horizons count periods, and its families see `sequences`, not rows.
    """

    name: str
    columns: tuple[Column, ...]
    targets: tuple[Target, ...]
    rows: Callable[[Known, pl.DataFrame], pl.DataFrame]
    inputs: Callable[[Known], pl.LazyFrame]
    families: tuple[str, ...]
    about: str = ""
    sequences: Callable[[Known], Histories] | None = None
    frequency: Frequency | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    incumbent: Incumbent | None = None

    @property
    def target(self) -> Target:
        """The target that decides."""
        return self.targets[0]

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """The model's inputs, in the order of the matrix."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def categorical(self) -> Array:
        """Which inputs are categories: (p,) booleans."""
        return np.array([column.dtype == "category" for column in self.input_columns], dtype=bool)
