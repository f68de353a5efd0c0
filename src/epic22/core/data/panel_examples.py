"""Examples of a panel: what was known of each series at each origin, and what came after it."""

from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl

from epic22.core.data.point_in_time import Tables
from epic22.core.errors import ColumnError, InternalError
from epic22.core.task import Task
from epic22.core.time_series import Array, Frequency, Histories


@dataclass(frozen=True)
class PanelExamples:
    """n rows, by origin, then by series: `histories` as known at the origin, `Y` (n, horizon) the values after it.

    Y is NaN where a value is missing; such a place is not scored. `incumbent` (n, horizon): what the rule of today says.
    """

    histories: Histories
    Y: Array
    data_version: str
    incumbent: Array | None = None

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def origin(self) -> Array:
        """The ordinal of each row's origin, (n,)."""
        return self.histories.origin

    @property
    def entity(self) -> Array:
        """The series' names, (n,)."""
        return self.histories.entity

    def take(self, rows: Array) -> "PanelExamples":
        """The examples at these row numbers."""
        incumbent = None if self.incumbent is None else self.incumbent[rows]
        return replace(self, histories=self.histories.take(rows), Y=self.Y[rows], incumbent=incumbent)


def build_panel_examples(task: Task, tables: Tables, candidates: pl.DataFrame, data_version: str) -> PanelExamples:
    """The task's examples at the candidate cutoffs [entity, cutoff] that its `rows` finds eligible.

    Raises ColumnError where a cutoff's last horizon passes the end of the data, or no series is eligible anywhere.
    """
    at = task.rows(tables.as_of(candidates), candidates).sort("cutoff", "entity")
    if not at.height:
        raise ColumnError(f"task {task.name}: no series is long enough at the origins asked for; shorten the holdout.")
    frequency, horizon = get_frequency_and_horizon(task)
    origin = int(frequency.ordinals(at["cutoff"].tail(1))[0]) - 1
    over = frequency.start(origin + 1 + horizon)
    if over > tables.end:
        raise ColumnError(
            f"task {task.name}: the {frequency.format_periods(horizon)} after {frequency.label(origin)} are not over at the "
            f"end of the data ({tables.end:%Y-%m-%d}); leave that origin out."
        )
    view = tables.as_of(at)
    labels = task.target.labels(view, tables.after(at, timedelta(0)))
    incumbent = None if task.incumbent is None else task.incumbent.respond(view)
    return PanelExamples(build_histories_at(task, tables, at), labels.to_numpy(), data_version, incumbent)


def build_histories_at(task: Task, tables: Tables, at: pl.DataFrame) -> Histories:
    """What was known at each row of `at` [entity, cutoff]; labels are not looked at."""
    get_frequency_and_horizon(task)
    assert task.sequences is not None
    return task.sequences(tables.as_of(at))


def get_frequency_and_horizon(task: Task) -> tuple[Frequency, int]:
    """The task's frequency and its number of horizons. Raises InternalError for a task that is no forecast."""
    if task.frequency is None or task.sequences is None:
        raise InternalError(f"task {task.name} is not a forecast: it names no frequency or no sequences.")
    return task.frequency, len(task.target.horizons)
