"""A task together with the tables it is asked on: what a feature hands to the services."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import polars as pl

from epic22.core.data.examples import Examples, build_examples
from epic22.core.data.history_start import HistoryStart, find_history_start
from epic22.core.data.large_table import LargeTable
from epic22.core.data.leakage import Suspicion
from epic22.core.data.panel_examples import PanelExamples, build_histories_at, build_panel_examples, get_frequency_and_horizon
from epic22.core.data.period_times import PanelReading
from epic22.core.data.point_in_time import Tables
from epic22.core.errors import ColumnError, InternalError
from epic22.core.lineage import DataVersion
from epic22.core.quality import Finding
from epic22.core.tables.canonical import PROTECTED
from epic22.core.task import Task
from epic22.core.time_series import Array, Histories


class TrainableTask(Protocol):
    """What a model is trained on: a declared task and the data it is learned from, in whatever form."""

    @property
    def task(self) -> Task:
        """The declared task."""

    @property
    def data_version(self) -> DataVersion:
        """Which bytes the tables are of."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided on the way, in plain words."""


class BoundTask(TrainableTask, Protocol):
    """A task together with the tables that it is asked on. `data_type`: models answer rows or a panel."""

    @property
    def data_type(self) -> str:
        """What the models that answer the task predict from."""

    def list_eligible(self, at: datetime) -> pl.DataFrame:
        """The entities [entity, cutoff] that the task is asked of at a moment. Raises ColumnError where there is none."""

    def build_request(self, eligible: pl.DataFrame) -> pl.DataFrame:
        """What a model is asked of these entities, a row each, in their order."""


@dataclass(frozen=True)
class TaskData:
    """A declared task, its tables and the cutoffs to learn from.

    `findings` are what the audit of the tables found, `suspicions` that of the columns, `notes` what was decided on the way, in
    plain words. The last `test_rows` cutoffs come from a test file of their own.
    """

    task: Task
    tables: Tables
    cutoffs: pl.DataFrame
    data_version: DataVersion
    suspicions: tuple[Suspicion, ...] = ()
    notes: tuple[str, ...] = ()
    test_rows: int = 0
    findings: tuple[Finding, ...] = ()
    data_type = "rows"

    def examples(self) -> Examples:
        """The examples at the cutoffs."""
        return build_examples(self.task, self.tables, self.cutoffs, self.data_version.id)

    def list_eligible(self, at: datetime) -> pl.DataFrame:
        """The entities [entity, cutoff] of the task's table that are eligible at a moment. Raises ColumnError where none is."""
        task, tables = self.task, self.tables
        everyone = list_entity_cutoffs(task, tables, pl.Series([at], dtype=pl.Datetime("us")))
        eligible = task.rows(tables.as_of(everyone), everyone)
        if not eligible.height:
            raise ColumnError(
                f"task {task.name}: no entity of {task.entities} is eligible at {at:%Y-%m-%d}; choose another date."
            )
        return eligible

    def build_request(self, eligible: pl.DataFrame) -> pl.DataFrame:
        """The inputs of these entities, a row each, in their order."""
        return self.task.compute_inputs(self.tables.as_of(eligible))


@dataclass(frozen=True, eq=False)
class BatchedTaskData:
    """A declared task and a table that is read a batch at a time. `examples` are the sample's rows; `group_column` is the column
    whose rows stay together, or None, `group_repeats` whether a value of it comes more than once."""

    task: Task
    table: LargeTable
    examples: Examples
    data_version: DataVersion
    suspicions: tuple[Suspicion, ...]
    notes: tuple[str, ...]
    group_column: str | None = None
    group_repeats: bool = False


@dataclass(frozen=True)
class PanelTaskData:
    """A declared forecasting task and its tables. Its data run from period `first` to `last` (ordinals).

    `entities` are the series' names, ascending; `season` is the number of periods in a cycle. Forecasts are made `delay` after an
    origin is over, when its figure is known. `layout`, `id`, `time` and `reading` say how the file it came from was read, so that
    a later file is read alike. `left_out` tells which series are not forecast, and why.
    """

    task: Task
    tables: Tables
    entities: pl.Series
    first: int
    last: int
    season: int
    data_version: DataVersion
    notes: tuple[str, ...] = ()
    layout: str = "long"
    id: tuple[str, ...] = ("entity",)
    time: str = "at"
    delay: timedelta = timedelta(0)
    reading: PanelReading | None = None
    left_out: tuple[str, ...] = ()
    data_type = "panel"

    def examples(self, origins: Array) -> PanelExamples:
        """The examples at these origins (ordinals)."""
        return build_panel_examples(self.task, self.tables, self._list_candidates(origins), self.data_version.id)

    def latest_histories(self) -> Histories:
        """Every eligible series as known at the end of the data."""
        candidates = self._list_candidates(np.array([self.last]))
        at = self.task.rows(self.tables.as_of(candidates), candidates).sort("cutoff", "entity")
        return build_histories_at(self.task, self.tables, at)

    def list_eligible(self, at: datetime) -> pl.DataFrame:
        """The series [entity, cutoff] that are known at a moment. Raises ColumnError where none is."""
        get_frequency_and_horizon(self.task)
        everyone = pl.DataFrame({"entity": self.entities}).with_columns(pl.lit(at).cast(pl.Datetime("us")).alias("cutoff"))
        eligible = self.task.rows(self.tables.as_of(everyone), everyone)
        if not eligible.height:
            raise ColumnError(f"task {self.task.name}: no series is known at {at:%Y-%m-%d}; choose another date.")
        return eligible

    def build_request(self, eligible: pl.DataFrame) -> pl.DataFrame:
        """Of each series its name, its values up to the last one known, and a moment in the period of that one."""
        histories = build_histories_at(self.task, self.tables, eligible)
        silent = histories.periods_since_last_value()
        values = [known[: len(known) - int(gap)].tolist() for known, gap in zip(histories.iterate_series(), silent, strict=True)]
        return pl.DataFrame(
            {
                "series": histories.entity.astype(str),
                "values": pl.Series(values, dtype=pl.List(pl.Float64)),
                "last": histories.frequency.starts(histories.origin - silent),
            }
        )

    def _list_candidates(self, origins: Array) -> pl.DataFrame:
        frequency, _ = get_frequency_and_horizon(self.task)
        cutoffs = pl.DataFrame({"cutoff": frequency.starts(np.sort(origins) + 1) + self.delay})
        return cutoffs.join(pl.DataFrame({"entity": self.entities}), how="cross").select("entity", "cutoff")


def bind_task(task: Task, tables: Tables, data_version: DataVersion, notes: tuple[str, ...] = ()) -> TaskData:
    """The task on canonical tables: every entity at every cutoff of its cadence whose horizon ends within the data.

    Raises ColumnError where the tables lack what the task needs, or are too short for a single cutoff.
    """
    refuse_unmet_requirements(task, tables)
    moments = compute_cutoffs(task, tables)
    refuse_late_tables(task, tables, moments[-1])
    start, where = _find_start(task, tables)
    early = () if start is None else start.describe(where)
    notes = (*notes, *early, *describe_late_tables(tables, moments[-1]))
    return TaskData(task, tables, list_entity_cutoffs(task, tables, moments), data_version, notes=notes)


def bind_panel_task(
    task: Task,
    tables: Tables,
    table: str,
    season: int,
    delay: timedelta,
    data_version: DataVersion,
) -> PanelTaskData:
    """The forecasting task on one of the tables: every series, from its first period to the last whose figure is known.

    Raises ColumnError where the tables lack what the task needs.
    """
    refuse_unmet_requirements(task, tables)
    if task.frequency is None:
        raise InternalError(f"task {task.name} is not a forecast.")
    source = tables.tables[table]
    if not source.frame.height:
        raise ColumnError(
            f"task {task.name}: table {table} has no rows of a whole {task.frequency.noun}; bring a longer history."
        )
    start = find_history_start(source.frame[source.event_at])
    periods = task.frequency.ordinals(source.frame[source.event_at])
    over = int(task.frequency.ordinals(pl.Series([tables.end - delay], dtype=pl.Datetime("us")))[0]) - 1
    entities = source.frame[source.entity].unique().sort()
    first, last = int(periods.min()), min(int(periods.max()), over)
    notes: tuple[str, ...] = ()
    if start is not None and start.earliest is not None:
        first = int(task.frequency.ordinals(pl.Series([start.first], dtype=pl.Datetime("us")))[0])
        whole = replace(source, frame=source.frame.filter(pl.col(source.event_at) >= start.first))
        notes = start.describe(f"{table}.{source.event_at}")
        tables = Tables({**tables.tables, table: whole}, tables.end)
    # Its values are typed, so nothing had to be known to read them.
    reading = PanelReading()
    return PanelTaskData(task, tables, entities, first, last, season, data_version, notes, delay=delay, reading=reading)


def list_entity_cutoffs(task: Task, tables: Tables, moments: pl.Series) -> pl.DataFrame:
    """Frame [entity, cutoff]: every entity of the task's table at each of these moments (UTC)."""
    if task.entities is None:
        raise InternalError(f"task {task.name} names no table of entities.")
    source = tables.tables[task.entities]
    ids = source.frame.select(entity=pl.col(source.entity)).drop_nulls().unique().sort("entity")
    return ids.join(pl.DataFrame({"cutoff": moments}), how="cross").select("entity", "cutoff").sort("cutoff", "entity")


def compute_cutoffs(task: Task, tables: Tables) -> pl.Series:
    """The moments at which examples can be made: from `warmup` after the first event to one horizon before the end.

    A hazard's rows need to be followed over the first interval only; where the data ends before the last, they are censored.
    """
    if task.cadence is None:
        raise InternalError(f"task {task.name} names no cadence.")
    start, where = _find_start(task, tables)
    first = None if start is None else start.first
    reach = task.target.traits.get_min_follow_up(task.target.horizons)
    last = tables.end - timedelta(days=reach)
    if first is not None and first + task.warmup <= last:
        ends = pl.Series([first + task.warmup, last], dtype=pl.Datetime("us"))
        begin, end = (int(o) for o in task.cadence.ordinals(ends))
        moments = task.cadence.starts(np.arange(begin + 1, end + 1))
        if len(moments):
            return moments
    raise ColumnError(
        f"task {task.name}: from {task.warmup.days} days after the first {where} ({first}) to "
        f"{reach:g} days before the end of the data ({tables.end:%Y-%m-%d}) there is no cutoff; "
        "bring a longer history."
    )


def _find_start(task: Task, tables: Tables) -> tuple[HistoryStart | None, str]:
    """Where the history begins from which the tables tell the whole, None where there is none, and which column says so."""
    table, column = task.start_column or (task.entities or "", "")
    source = tables.tables[table]
    named = column or source.event_at
    return find_history_start(source.frame[named]), f"{table}.{named}"


def refuse_unmet_requirements(task: Task, tables: Tables) -> None:
    """Raise ColumnError naming every table, column and number of rows that the task cannot be trained without."""
    lacking = []
    for need in task.requirements:
        frame = tables.tables[need.table].frame
        n_rows = frame.height if need.column is None else int(frame[need.column].is_not_null().sum())
        if n_rows < need.rows:
            place = f"table {need.table} with" if need.column is None else f"column {need.table}.{need.column} filled in"
            lacking.append(f"{place} {'1 row' if need.rows == 1 else f'about {need.rows:,} rows'} (there are {n_rows:,})")
    if lacking:
        raise ColumnError(
            f"task {task.name} needs more than is stored: {'; '.join(lacking)}. Map it from a source that knows it, or leave "
            "this task out."
        )


def refuse_late_tables(task: Task, tables: Tables, last: datetime) -> None:
    """Raise ColumnError where nothing was known, at the last moment to learn from, of the table that a task is asked of; of a
    forecast those that its figures are made of."""
    names = [need.table for need in task.requirements] if task.entities is None else [task.entities]
    late = _find_late_tables(tables, names, last)
    if late:
        raise ColumnError(
            f"task {task.name}: at the last moment to learn from, {last:%Y-%m-%d}, nothing was known of {late}. "
            "Rows that do not say when they became known count as known when they are loaded: give them a column known_at, or "
            "name the event in a mapping, and ingest them again."
        )


def describe_late_tables(tables: Tables, last: datetime) -> tuple[str, ...]:
    """Of which tables nothing was known at the last moment to learn from, in words, where there are any."""
    late = _find_late_tables(tables, [name for name in tables.tables if name != PROTECTED.name], last)
    return (f"columns made of {late} are missing in all rows: known later than the last, of {last:%Y-%m-%d}",) if late else ()


def _find_late_tables(tables: Tables, names: Iterable[str], last: datetime) -> str:
    first = {name: tables.tables[name].frame[tables.tables[name].known_at].min() for name in names}
    return " and ".join(f"{name} (from {at:%Y-%m-%d} on)" for name, at in first.items() if isinstance(at, datetime) and at > last)
