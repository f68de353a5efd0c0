"""Examples: one row per entity and cutoff, inputs from what was known, the label from what came later."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.data.point_in_time import Tables
from epic22.core.errors import ColumnError
from epic22.core.task import Array, Task

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class Examples:
    """Rows to learn from. X: frame (n, p) of the task's inputs in order; Y (n, h): class codes or values.

    `entity` (n,) text; `at` (n,) datetime64[us], the cutoffs; `group` (n,) text or None; `weight` (n,) or None; `slices`:
    columns joined after the inputs as known at the end, never seen by a family. `incumbent` (n,): what the rule of today says of
    each row; `stake` (n,): the money at stake. `cluster` (n,): rows of one are resampled together. `trainable` (n,): rows that
    may train.

    Of a hazard Y is (n, 2), duration in days and whether the event was observed; `follow_up_days` (n,) are the days each row was,
    or would have been, watched.
    """

    X: pl.DataFrame
    Y: Array
    entity: Array
    at: Array
    data_version: str
    group: Array | None = None
    weight: Array | None = None
    slices: pl.DataFrame | None = None
    incumbent: Array | None = None
    stake: Array | None = None
    cluster: Array | None = None
    trainable: Array | None = None
    follow_up_days: Array | None = None

    def __len__(self) -> int:
        return self.X.height

    @property
    def y(self) -> Array:
        """The first horizon's label, (n,); of a hazard duration and observed, (n, 2)."""
        return np.asarray(self.Y[:, 0] if self.follow_up_days is None else self.Y)

    def censor_at(self, moment: np.datetime64 | None, delay: float = 0.0) -> "Examples":
        """The examples as their outcomes were known at a moment, `delay` days behind the events: a hazard's are censored there.

        What a training part may be told where its test part begins. Rows of that moment or later have been followed for no time.
        Other kinds have labels that are known or not, and are left as they are, as is everything where `moment` is None.
        """
        if self.follow_up_days is None or moment is None:
            return self
        age = (moment.astype("datetime64[us]") - self.at.astype("datetime64[us]")).astype(np.int64)
        days = np.maximum(age / MICROSECONDS_PER_DAY - delay, 0.0)
        return replace(self, Y=censor_outcomes(self.Y, days), follow_up_days=np.minimum(self.follow_up_days, days))

    @property
    def has_times(self) -> bool:
        """Whether the rows differ in time."""
        return bool(len(self) and self.at.min() != self.at.max())

    def take(self, rows: Array) -> "Examples":
        """The examples at these row numbers, in that order."""
        optional = ("group", "weight", "slices", "incumbent", "stake", "cluster", "trainable", "follow_up_days")
        selected = {name: value[rows] for name in optional if (value := getattr(self, name)) is not None}
        return replace(self, X=self.X[rows], Y=self.Y[rows], entity=self.entity[rows], at=self.at[rows], **selected)


def censor_outcomes(y: Array, days: Array) -> Array:
    """Durations and observed, (n, 2), as known after this many days each (n,): what came later had not happened yet."""
    unseen = y[:, 0] > days
    return np.column_stack([np.minimum(y[:, 0], days), np.where(unseen, 0.0, y[:, 1])])


def build_examples(task: Task, tables: Tables, cutoffs: pl.DataFrame, data_version: str) -> Examples:
    """The task's examples at the given cutoffs (frame [entity, cutoff], or [cutoff] where the task finds its entities).

    Raises ColumnError where inputs and declared columns differ, or a label is missing.
    """
    return build_examples_at(task, tables, task.rows(tables.as_of(cutoffs), cutoffs), data_version)


def build_examples_at(task: Task, tables: Tables, at: pl.DataFrame, data_version: str) -> Examples:
    """The task's examples at rows that are eligible, frame [entity, cutoff]. Raises ColumnError as `build_examples` does."""
    view, day = tables.as_of(at), timedelta(days=1)
    horizon, is_hazard = timedelta(days=max(task.target.horizons, default=0.0)), task.target.traits.is_time_to_event
    future = tables.after_censored(at, horizon) if is_hazard else tables.after(at, horizon)
    inputs = task.compute_inputs(view)
    names = [column.name for column in task.input_columns]
    if inputs.columns != names:
        raise ColumnError(f"task {task.name}: its inputs gave columns {inputs.columns}, it declares {names}.")
    labels = task.target.labels(view, future)
    if labels.null_count().sum_horizontal().item():
        raise ColumnError(f"task {task.name}: {labels.null_count().sum_horizontal().item()} labels are missing.")
    return Examples(
        X=inputs,
        Y=labels.to_numpy(),
        entity=at["entity"].to_numpy(),
        at=at["cutoff"].cast(pl.Datetime("us")).to_numpy(),
        group=at["group"].to_numpy() if "group" in at.columns else None,
        data_version=data_version,
        # For measurement alone, so that what was first loaded today counts for the rows of old.
        slices=None if task.slices is None else task.slices(tables.as_of(at.with_columns(cutoff=pl.lit(tables.end)))),
        incumbent=None if task.incumbent is None else task.incumbent.respond(view),
        stake=None if task.stake_column is None else inputs[task.stake_column].cast(pl.Float64).to_numpy(),
        cluster=None if task.cluster is None else task.cluster(view).to_numpy(),
        trainable=None if task.stride == 1 else is_on_stride(at["cutoff"], task.stride),
        follow_up_days=np.minimum(((tables.end - at["cutoff"]) / day).to_numpy(), horizon / day) if is_hazard else None,
    )


def is_on_stride(cutoffs: pl.Series, stride: int) -> Array:
    """Whether a row's cutoff is one of every `stride`-th, counted from the last, (n,)."""
    rank = cutoffs.rank("dense", descending=True).to_numpy() - 1
    return np.asarray(rank % stride == 0)
