"""The declaration of what is predicted: columns, target, metric, task, and the protocols a task is written against.

Times are UTC. n = rows, p = input columns, h = horizons, k = classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, Protocol

import numpy as np
import polars as pl

from epic22.core.column import CellValue as CellValue
from epic22.core.column import Column as Column
from epic22.core.column import Dtype as Dtype
from epic22.core.column import Role as Role
from epic22.core.statistics import UNBOUNDED, MetricBounds
from epic22.core.targets import Array as Array
from epic22.core.targets import Kind as Kind
from epic22.core.targets import LossName as LossName
from epic22.core.targets import TargetKind, get_kind
from epic22.core.time_series import Frequency, Histories


@dataclass(frozen=True)
class Formula:
    """A declared physical column: `power` (W) = "torque * speed * 0.10472"; the language is that of `core/data/formula.py`."""

    name: str
    expression: str
    unit: str | None = None

    @property
    def column(self) -> Column:
        """The column it makes, said in words by the formula itself."""
        text = self.expression.replace("`", "")
        return Column(self.name, "float", unit=self.unit, about=text if text == self.name else f"{self.name} ({self.expression})")


@dataclass(frozen=True)
class RowMetadata:
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
    (n, k) class probabilities. It is NaN where undefined (one class only, say). `response` is what it judges, `bounds` are what
    no score and no end of an interval lies beyond.
    """

    name: str
    score: Callable[[Array, Array, RowMetadata], float]
    greater_is_better: bool
    response: Literal["probability", "label", "value"]
    unit: str | None = None
    bounds: MetricBounds = UNBOUNDED

    def gain(self, a: float, b: float) -> float:
        """How much better score `a` is than score `b`, in the metric's unit; positive = better."""
        return a - b if self.greater_is_better else b - a


class AsOfView(Protocol):
    """What was known at each row's own cutoff; never hands out a raw table.

    Of each id the latest version known then is seen, with every column null that became known later (`Column.known_when`).
    n = rows of `at`. A span of None means all time up to the cutoff. `where` sees the values as they were known at the cutoff, of
    one row at a time: ColumnError where it looks at other rows (`max`, `shift`, `over` …), which may belong to later cutoffs.
    """

    @property
    def at(self) -> pl.DataFrame:
        """Frame [entity, cutoff], one row per prediction."""

    def take(self, rows: pl.Series) -> "AsOfView":
        """The view of these rows of `at` alone."""

    def with_entities(self, ids: pl.Series, by: str) -> "AsOfView":
        """The same rows and cutoffs asked about `ids` (n values; of a null one nothing is known).

        Every table is matched by its column `by`: `known.with_entities(equipment["property_id"], "property_id")`.
        """

    def latest(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the entity's latest row version known then, nulls where there is none: n rows.

        Equal known_at: the later event time counts, then the greater key.
        """

    def window(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """The entity's rows with event time in (cutoff - span, cutoff], with `row`, the index into `at`, in order of time."""

    def join(self, rows: pl.DataFrame, table: str, on: str) -> pl.DataFrame:
        """The table's rows whose column `on` equals, for `rows` [row, on], as known at the cutoff of `row`; of any event time.

        The payments of a lease's charges: `known.join(charges.select("row", "charge_id"), "payments", "charge_id")`.
        """

    def count(self, table: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, how many rows the window holds: n integers."""

    def rate(self, table: str, span: timedelta, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, the window's rows per day: n floats."""

    def summary(self, table: str, column: str, span: timedelta | None, where: pl.Expr | None = None) -> pl.DataFrame:
        """Per row of `at`, figures of the column over the window's rows that have a value: n rows, null where there are none.

        `count` (0 where there are none), `total`, `mean`, `sd` (population), `slope` (least squares, per day; null where fewer
        than 2 distinct times), `last`, `days_since_last`.
        """

    def days_since(self, table: str, where: pl.Expr | None = None) -> pl.Series:
        """Per row of `at`, days from the latest known event up to the cutoff: n floats, null where there is none."""

    def lag(self, table: str, column: str, steps: int) -> pl.Series:
        """Per row of `at`, the column's value `steps` versions before the latest known one: n values, null before the first."""

    def history(self, table: str, column: str, frequency: Frequency) -> Histories:
        """Per row of `at`, the column's values by period of the table's event time, over and known at the cutoff."""


class Future(Protocol):
    """What happened after each row's cutoff, for labels alone, by the final versions known at the end of the data."""

    @property
    def at(self) -> pl.DataFrame:
        """Frame [entity, cutoff], one row per prediction."""

    def with_entities(self, ids: pl.Series, by: str) -> "Future":
        """The same rows and cutoffs asked about `ids` (n values, may be null), every table matched by its column `by`."""

    def window(self, table: str, event: str | None = None, before: timedelta = timedelta(0)) -> pl.DataFrame:
        """The entity's rows with their time in (cutoff - before, cutoff + horizon], with `row`, the index into `at`.

        `event` names another time column than the table's event time, as a lease's `ended_on`.
        """

    def join(self, rows: pl.DataFrame, table: str, on: str) -> pl.DataFrame:
        """The table's rows whose column `on` equals, for `rows` [row, on]; of any event time."""

    def values(self, table: str, column: str, frequency: Frequency, horizon: int) -> Array:
        """Per row of `at`, the column's values of the `horizon` periods after the cutoff, (n, horizon); NaN where none is."""

    def label_rows(self, table: str) -> pl.DataFrame:
        """Per row of `at`, the row of a label table that was written for exactly this entity and cutoff: n rows."""

    def time_to_event(self, events: pl.DataFrame, time: str) -> pl.DataFrame:
        """Per row of `at`, days to the first of these events, and 1 where there was one; else the days it was followed, and 0.

        `events` have `row`, the index into `at`, and their moment in the column `time`: frame [duration, observed], n rows, the
        labels of a hazard.
        """


@dataclass(frozen=True)
class Target:
    """What is predicted. The labels function gives a frame (n, h), one column a horizon; for a hazard [duration, observed], days
    to the event (observed 1) or days without it until the row was last seen (observed 0).

    `classes` are the names of class codes 0…k-1 (for a binary target the positive one is the second). `horizons` are in
    days, in periods where the task has a frequency; empty when the label belongs to the row itself. `secondary_metrics` are
    reported beside those that the kind has.

    Values have a `loss`: `quantile` says which one the pinball loss asks for, `power` how Tweedie's variance goes with the mean
    (1 to 2, None: found on the inner fold). With `log` models learn the logarithm of the label; None: settled before the race.

    `offset` names the input that a count or a sum grows with, its exposure: its logarithm is added to the score, no model learns
    from it, and the value is of the row's own exposure. Models learn the label's distance from the `center`, which is not 0 where
    labels are large beside their spread, in parts of the `scale`, which is not 1 where they spread too little or far for trees.
    Where some label `has_zeros` no percentage error is defined, and none is reported.
    No answer and no interval lies below the `floor`, nor is any scored that does: 0 where no label of the training, trained on or
    tested, lies below it; None where some do.

    A hazard's horizons are the edges of its grid of intervals, ascending; `decision_horizon` is the one it is judged and acted
    on by.
    """

    name: str
    kind: Kind
    labels: Callable[[AsOfView, Future], pl.DataFrame]
    metric: Metric
    horizons: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    secondary_metrics: tuple[Metric, ...] = ()
    unit: str | None = None
    loss: LossName = "squared"
    log: bool | None = False
    quantile: float = 0.5
    power: float | None = None
    decision_horizon: float | None = None
    offset: str | None = None
    center: float = 0.0
    scale: float = 1.0
    has_zeros: bool = False
    floor: float | None = None

    @property
    def traits(self) -> TargetKind:
        """What follows from the kind of target."""
        return get_kind(self.kind, self.loss)

    def scale_labels(self, y: Array) -> Array:
        """Labels y (n,) as models of values learn them: their distance from the centre, in parts of the scale."""
        return y if (self.center, self.scale) == (0.0, 1.0) else np.asarray((y - self.center) / self.scale)

    @property
    def horizon(self) -> float | None:
        """The horizon in days that decides, or the only one; None where there are several of equal rank, or none."""
        if self.decision_horizon is not None:
            return self.decision_horizon
        return self.horizons[0] if len(self.horizons) == 1 else None


@dataclass(frozen=True)
class Incumbent:
    """The rule that runs today. `response_type` says how to judge it: a ranking score by average precision alone."""

    name: str
    response_type: Literal["ranking", "probability", "value"]
    respond: Callable[[AsOfView], Array]


@dataclass(frozen=True)
class DataRequirement:
    """What a task cannot do without: this many `rows` of a table with a value in the column (any row where it is None)."""

    table: str
    column: str | None
    rows: int


@dataclass(frozen=True)
class SequenceInputs:
    """What families that read a sequence see beside the inputs: `columns`, each a step, and how they are computed, n rows."""

    columns: tuple[Column, ...]
    compute: Callable[[AsOfView], pl.DataFrame]


@dataclass(frozen=True)
class EvaluationPolicy:
    """How a task's candidates are judged and its champion used; nothing of it changes what a model learns.

    `minimum_effect` is the smallest difference in the deciding metric that matters; `non_inferiority_margin`, in money per 1,000
    rows, how much dearer than the champion a simpler family may be and still count as not worse; with `prefer_simpler` it is
    then chosen. `capacity` is how many entities a week can be acted on. `coverage_by` are inputs of few levels by which the
    coverage of intervals and sets is reported. `learning_curve` asks for the champion's, at the cost of some fits.
    To serve, a model answers a row within `latency_budget` milliseconds of processor time, and its probabilities do not certainly
    lie further from the rates, on average, than `calibration_limit` of the rarer class's rate.
    """

    minimum_effect: float | None = None
    non_inferiority_margin: float | None = None
    prefer_simpler: bool = False
    capacity: int | None = None
    coverage_by: tuple[str, ...] = ()
    learning_curve: bool = False
    latency_budget: float = 100.0
    calibration_limit: float = 0.5


@dataclass(frozen=True)
class Task:
    """The declaration of a feature: who is predicted, when, from what, what for. The first target decides.

    A task with a `frequency` is a forecast: its horizons count periods, and its families see `sequences`, not rows.

    Over canonical tables, `entities` names the table whose entities are candidates at each cutoff of the `cadence`; cutoffs begin
    `warmup` after the first moment in a table's column, `start_column`. `stake_column` names the input that is the money at
    stake, by which `costs["miss"]` is multiplied. `slices` are columns for the measurement of fairness, joined after the inputs
    as known at the end of the data, and never seen by a family. `requirements` are refused one by one where the tables do not
    have them. `cluster` (n,) says which rows are not independent evidence of one another. Models are fitted on every `stride`-th
    cutoff, for neighbours share most of their horizon, and tested on all.
    `formulas` are columns made of the inputs, or of formulas before them, row by row.
    `policy` is how candidates are judged and the champion used. `sequence` is computed where a family that reads one takes part.
    """

    name: str
    columns: tuple[Column, ...]
    targets: tuple[Target, ...]
    rows: Callable[[AsOfView, pl.DataFrame], pl.DataFrame]
    inputs: Callable[[AsOfView], pl.LazyFrame]
    families: tuple[str, ...]
    about: str = ""
    sequences: Callable[[AsOfView], Histories] | None = None
    frequency: Frequency | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    incumbent: Incumbent | None = None
    entities: str | None = None
    cadence: Frequency | None = None
    start_column: tuple[str, str] | None = None
    warmup: timedelta = timedelta(days=180)
    stake_column: str | None = None
    slices: Callable[[AsOfView], pl.DataFrame] | None = None
    requirements: tuple[DataRequirement, ...] = ()
    cluster: Callable[[AsOfView], pl.Series] | None = None
    stride: int = 1
    formulas: tuple[Formula, ...] = ()
    policy: EvaluationPolicy = EvaluationPolicy()
    sequence: SequenceInputs | None = None

    def compute_inputs(self, view: AsOfView) -> pl.DataFrame:
        """The inputs of each row of the view: what is no finite number, as a share of nothing is none, is missing."""
        frame = self.inputs(view).collect()
        infinite = [s.name for s in frame if s.dtype.is_float() and not s.is_finite().all()]
        return frame.with_columns(pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in infinite)

    @property
    def target(self) -> Target:
        """The target that decides."""
        return self.targets[0]

    def replace_target(self, target: Target) -> "Task":
        """The task with another target that decides."""
        return replace(self, targets=(target, *self.targets[1:]))

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """What a row is asked for, in the order of the matrix; after them comes what is derived (`Preprocessor.outputs`)."""
        return tuple(column for column in self.columns if column.role == "input")

    @property
    def protected_columns(self) -> tuple[str, ...]:
        """The columns that are declared to be protected: no input, and by whose groups fairness is of interest."""
        return tuple(column.name for column in self.columns if column.role == "protected")

    @property
    def has_sequence(self) -> bool:
        """Whether there are steps for families that read a sequence."""
        return self.sequence is not None or any(column.step is not None for column in self.input_columns)

    @property
    def is_category(self) -> Array:
        """Which inputs are categories: (p,) booleans."""
        return np.array([column.dtype == "category" for column in self.input_columns], dtype=bool)
