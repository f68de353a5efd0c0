"""Examples: one row per entity and cutoff, inputs from what was known, the label from what came later."""

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from epic22.core.data.tables import Tables
from epic22.core.errors import ColumnError
from epic22.core.task import Array, Task


@dataclass(frozen=True)
class Examples:
    """Rows to learn from. X: frame (n, p) of the task's inputs in order; Y (n, h): class codes or values.

    `entity` (n,) text; `at` (n,) datetime64[us], the cutoffs; `group` (n,) text or None; `weight` (n,) or None; `slices`:
    columns joined after the inputs, never seen by a family.
    """

    X: pl.DataFrame
    Y: Array
    entity: Array
    at: Array
    data_version: str
    group: Array | None = None
    weight: Array | None = None
    slices: pl.DataFrame | None = None

    def __len__(self) -> int:
        return self.X.height

    @property
    def y(self) -> Array:
        """The first horizon's label, (n,)."""
        return np.asarray(self.Y[:, 0])

    @property
    def timed(self) -> bool:
        """Whether the rows differ in time."""
        return bool(len(self) and self.at.min() != self.at.max())

    def take(self, rows: Array) -> "Examples":
        """The examples at these row numbers, in that order."""
        return replace(
            self,
            X=self.X[rows],
            Y=self.Y[rows],
            entity=self.entity[rows],
            at=self.at[rows],
            group=None if self.group is None else self.group[rows],
            weight=None if self.weight is None else self.weight[rows],
            slices=None if self.slices is None else self.slices[rows],
        )


def build_examples(task: Task, tables: Tables, cutoffs: pl.DataFrame, data_version: str) -> Examples:
    """The task's examples at the given cutoffs (frame [entity, cutoff], or [cutoff] where the task finds its entities).

    Raises ColumnError where inputs and declared columns differ, or a label is missing.
    """
    known = tables.as_of(cutoffs)
    at = task.rows(known, cutoffs)
    seen = tables.as_of(at)
    later = tables.after(at, timedelta(days=max(task.target.horizons, default=0.0)))
    inputs = task.inputs(seen).collect()
    names = [column.name for column in task.input_columns]
    if inputs.columns != names:
        raise ColumnError(f"task {task.name}: its inputs gave columns {inputs.columns}, it declares {names}.")
    labels = task.target.labels(seen, later)
    if labels.null_count().sum_horizontal().item():
        raise ColumnError(f"task {task.name}: {labels.null_count().sum_horizontal().item()} labels are missing.")
    return Examples(
        X=inputs,
        Y=labels.to_numpy(),
        entity=at["entity"].to_numpy(),
        at=at["cutoff"].cast(pl.Datetime("us")).to_numpy(),
        group=at["group"].to_numpy() if "group" in at.columns else None,
        data_version=data_version,
    )
