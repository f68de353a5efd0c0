"""The user's own panel as a task: one file of many series, wide (a column a period) or long (a row a value).

A period's value is known when the period is over. What is missing stays missing: it is carried forward as an input, and never
scored. A file is one vintage; two files of different vintage are two data versions, and are never mixed in one series.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from epic22.core.column import ColumnReading
from epic22.core.data.column_reading import (
    ReadColumn,
    ReadingRules,
    infer_reading_as,
    infer_text_column,
    is_too_large,
    null_sentinels,
    parse_text,
    strip_text,
)
from epic22.core.data.column_remarks import OPEN_MARKS, gather_remarks
from epic22.core.data.files import RawTable, read_table
from epic22.core.data.forecast_task import ForecastSeries, build_forecast_task
from epic22.core.data.names import strip_ends
from epic22.core.data.period_calendar import (
    anchor_frequency,
    describe_skipped_hours,
    refuse_doubled_hours,
    refuse_weekends,
)
from epic22.core.data.period_notation import FIRST_YEAR, LAST_YEAR, describe_notation
from epic22.core.data.period_times import (
    TYPED,
    PanelReading,
    PeriodReading,
    PeriodTimes,
    describe_times,
    is_blank,
    is_dated_column,
    read_headers,
    read_period_times,
)
from epic22.core.data.point_in_time import Table, Tables
from epic22.core.data.schema_inference import is_missing, select_values
from epic22.core.data.sentinels import are_sentinels
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError, UserError
from epic22.core.lineage import DataVersion
from epic22.core.models.panel.catalog import PANEL_FAMILIES, extend_families
from epic22.core.task import Column, Task
from epic22.core.time_series import DAY, Frequency, get_frequency
from epic22.spec.panel_series import describe_series, list_names, select_series, tell_empty
from epic22.spec.task_name import build_task_name
from epic22.spec.training_spec import TrainingSpec

VALUES = "values"
SEPARATOR = " / "
ROW = "#row"
MAX_HORIZON = 100
PLAIN_ADVICE = " (write the numbers without marks of thousands)"


@dataclass(frozen=True)
class PanelFile:
    """What the user says of a file. `id` are the columns that together name a series; in a wide file `time` and `label` name
    the new columns. `complete_last`: only series without a gap in this many last periods. `season`: periods a cycle. `strict`: an
    odd series refuses the file instead of being left out. `reading`: how the file that was trained on was read; None: it is this
    one. `is_whole`: its values were whole numbers, so that 1.234 may be a thousand here.
    """

    path: Path
    layout: Literal["wide", "long"]
    id: tuple[str, ...]
    time: str
    label: str
    frequency: Frequency
    horizon: int
    name: str | None = None
    season: int | None = None
    complete_last: int | None = None
    strict: bool = False
    reading: PanelReading | None = None
    is_whole: bool = False
    families: tuple[str, ...] = tuple(family.name for family in PANEL_FAMILIES if not family.slow)

    @property
    def known_reading(self) -> PeriodReading:
        """What is known of how times are written."""
        return PeriodReading() if self.reading is None else self.reading.times

    @property
    def cycle(self) -> int:
        """Periods in a cycle: as stated, else as the frequency has them."""
        return self.season if self.season is not None else self.frequency.season


def load_panel_task_data(file: PanelFile) -> PanelTaskData:
    """The forecasting task a file stands for, with its table.

    Raises FileError for a file that cannot be read whole; ColumnError for columns that are absent or unfit, a value that is no
    number, two values of one series and period, times that are not of the frequency, or a panel without a usable series.
    """
    raw = read_table(file.path)
    notes = list(raw.notes)
    left_out: list[str] = []
    file, values = _read_values(_read_long(raw, file, notes), file, notes, left_out)
    refuse_doubled_hours(values, file.frequency)
    values = select_series(values, file, left_out)
    notes += [*left_out, *describe_series(values, file)]
    describe_skipped_hours(values, file.frequency, notes)
    task = _build_task(file)
    table = Table(VALUES, values, key="entity", entity="entity", columns=task.columns, event_at="at", known_at="known_at")
    first, last = int(values["period"].min()), int(values["period"].max())  # type: ignore[arg-type]
    notes.append(
        f"{values['entity'].n_unique():,} series, {file.frequency.label(first)} to {file.frequency.label(last)}; "
        f"a cycle is {file.frequency.format_periods(file.cycle)}."
    )
    return PanelTaskData(
        task=task,
        tables=Tables({VALUES: table}, file.frequency.start(last + 1)),
        entities=values["entity"].unique().sort(),
        first=first,
        last=last,
        season=file.cycle,
        data_version=_compute_data_version(raw, file),
        notes=tuple(notes),
        layout=file.layout,
        id=file.id,
        time=file.time,
        reading=file.reading,
        left_out=tuple(left_out),
    )


def refuse_long_season(file: PanelFile, data: PanelTaskData) -> None:
    """Raise ColumnError where the season given does not come twice in the history: nothing can be learned of it."""
    n_periods = data.last - data.first + 1
    if file.season is not None and 2 * file.season > n_periods:
        raise ColumnError(
            f"--season {file.season}: the history has {n_periods:,} {file.frequency.noun}s; "
            f"give at most {max(1, n_periods // 2)}, half of them."
        )


@dataclass(frozen=True)
class LongTable:
    """A panel as rows [id columns, time, label], a row a value, and what is known of how its times are written."""

    rows: pl.DataFrame
    reading: PeriodReading


def _read_long(raw: RawTable, file: PanelFile, notes: list[str]) -> LongTable:
    frame, named = raw.frame, [("--id", name) for name in file.id]
    if file.layout == "long":
        named += [("--time", file.time), ("--label", file.label)]
    for option, name in named:
        if name not in frame.columns:
            raise ColumnError(f"{option} {name}: no such column; there are {', '.join(frame.columns[:20])}.")
    _refuse_types([frame[name] for _, name in named], file)
    if file.layout == "wide":
        return _unpivot(raw, file, notes)
    if len({*file.id, file.time, file.label}) < len(file.id) + 2:
        raise ColumnError("--id, --time and --label must be different columns.")
    others = [name for name in frame.columns if name not in (*file.id, file.time, file.label)]
    if others:
        notes.append(f"not used: {', '.join(others[:10])}{' …' if len(others) > 10 else ''}.")
    values = select_values(raw, file.label, "float")
    return LongTable(frame.select(*file.id, file.time).with_columns(values), file.known_reading)


def _refuse_types(columns: Sequence[pl.Series], file: PanelFile) -> None:
    """Raise ColumnError for lengths of time, and for times where values are expected: as numbers they would be forecast."""
    for column in columns:
        is_label = column.name not in (*file.id, file.time)
        if column.dtype == pl.Duration or (is_label and column.dtype.is_temporal()):
            expected = "numbers" if is_label else "names" if column.name in file.id else "times"
            raise ColumnError(f"column {column.name!r} holds {column.dtype}, expected {expected}; write it so, or name another.")


def _unpivot(raw: RawTable, file: PanelFile, notes: list[str]) -> LongTable:
    frame = raw.frame
    headers = pl.Series("header", [name for name in frame.columns if name not in file.id])
    times = read_headers(headers, file.frequency, file.known_reading)
    is_time = times.moments.is_not_null()
    if is_time.sum() < 2:
        raise ColumnError(
            f"--panel wide: {is_time.sum()} column names are dates, such as 2024-03-31 or 2024-03; "
            "expected a column a period. "
            "For a file with a row a value use --panel long."
        )
    others = [name for name in headers.filter(~is_time) if not _is_empty(frame[name])]
    if others:
        notes.append(f"not used: {', '.join(others[:10])}{' …' if len(others) > 10 else ''}.")
    clash = {file.time, file.label} & set(file.id)
    if clash or file.time == file.label:
        raise ColumnError("in a wide file --time and --label name new columns: give them names that --id does not use.")
    _refuse_types([frame[name] for name in headers.filter(is_time)], file)
    notes += describe_times(times, file.time)
    names = headers.filter(is_time).to_list()
    values = [select_values(raw, name, "float") for name in names]
    # Numbers stay numbers: as text they would be read by the format of the text that was trained on.
    are_numbers = all(one.dtype.is_numeric() or one.null_count() == len(one) for one in values)
    columns = frame.select(file.id).with_columns(one.cast(pl.Float64 if are_numbers else pl.String) for one in values)
    rows = columns.unpivot(names, index=list(file.id), variable_name=file.time, value_name=file.label)
    return LongTable(rows, times.reading)


def _is_empty(column: pl.Series) -> bool:
    return bool(is_missing(column).all())


def _read_values(table: LongTable, file: PanelFile, notes: list[str], left_out: list[str]) -> tuple[PanelFile, pl.DataFrame]:
    """The file with how its times were read and the calendar that they keep, and a frame [entity, at, period, value, known_at] of
    the values that are there, by series and time."""
    long = _drop_empty_rows(table.rows, file, notes)
    names = _read_names(long, file, notes)
    values, reading = _read_label(long, names, file, notes)
    present = values.is_not_null()
    if not present.any():
        raise ColumnError(
            f"label {file.label!r} is missing in all {len(values):,} rows; there is nothing to learn, name another."
        )
    if not present.all() and file.layout == "long":
        notes.append(f"{(~present).sum():,} rows without a label were left out.")
    tell_empty(names, present, file, left_out)
    rows, names = long[ROW].filter(present), names.filter(present)
    times = read_period_times(long[file.time].filter(present), names, file.frequency, table.reading)
    _refuse_timeless(times, long[file.time].filter(present), rows, file)
    if file.layout == "long":
        notes += describe_times(times, file.time)
    refuse_weekends(file.frequency, times.moments, names)
    is_first_reading = file.reading is None
    frequency = anchor_frequency(file.frequency, times.moments, names, notes) if is_first_reading else file.frequency
    period = frequency.ordinals(times.moments)
    columns = {
        "entity": names,
        "at": frequency.starts(period),
        "period": period,
        "value": values.filter(present),
        "known_at": frequency.starts(period + 1),
    }
    frame = _drop_copies(pl.DataFrame(columns), times.moments, frequency, notes).sort("entity", "period", maintain_order=True)
    return replace(file, frequency=frequency, reading=PanelReading(times.reading, reading)), frame


def _drop_copies(frame: pl.DataFrame, moments: pl.Series, frequency: Frequency, notes: list[str]) -> pl.DataFrame:
    """The rows without those that say the same of one series and moment again; an hour may come twice at a clock change."""
    if frequency.is_shorter_than(DAY):
        return frame
    is_first = frame.select(pl.struct(frame["entity"], frame["value"], moments.alias("moment")).is_first_distinct()).to_series()
    n_copies = frame.height - int(is_first.sum())
    if n_copies:
        notes.append(f"{n_copies:,} {'row repeats' if n_copies == 1 else 'rows repeat'} another, and count once.")
    return frame.filter(is_first)


def _drop_empty_rows(long: pl.DataFrame, file: PanelFile, notes: list[str]) -> pl.DataFrame:
    """The rows that say anything, with their numbers from 0: spreadsheets end in rows of separators."""
    empty = (
        pl.DataFrame([is_blank(long[name]) for name in (*file.id, file.label)]).select(pl.all_horizontal(pl.all())).to_series()
    )
    if file.layout == "long" and empty.any():
        notes.append(f"{empty.sum():,} empty rows were left out.")
    return long.with_row_index(ROW).filter(~empty)


def _refuse_timeless(times: PeriodTimes, raw: pl.Series, rows: pl.Series, file: PanelFile) -> None:
    """Raise ColumnError for values without a time, and for a time that does not fit how the others are written."""
    bad = times.moments.is_null().arg_true()
    if not len(bad):
        return
    row, is_dated = rows[bad[0]], is_dated_column(raw)
    if (raw.is_null() if is_dated else is_blank(raw))[bad[0]]:
        raise ColumnError(
            f"--time {file.time}: {len(bad):,} rows have none, first row {row + 1:,}; fill them in or leave them out."
        )
    if is_dated:
        raise ColumnError(
            f"--time {file.time}: {len(bad):,} of {len(rows):,} values lie outside the years {FIRST_YEAR} to {LAST_YEAR}, first "
            f"one of the year {raw.dt.year()[bad[0]]} in row {row + 1:,}; mend them or leave them out."
        )
    value = raw[bad[0]]
    notation = file.known_reading.notation
    expected = (
        f"write them as 2024-03-01 or 2024-03-01T13:00, in the years {FIRST_YEAR} to {LAST_YEAR}"
        if notation is None or notation == TYPED
        else f"the model was trained on times like {describe_notation(notation)}; write them so"
    )
    raise ColumnError(
        f"--time {file.time}: {len(bad):,} of {len(rows):,} values are no times, first {value!r} in row {row + 1:,}; {expected}."
    )


def _read_names(long: pl.DataFrame, file: PanelFile, notes: list[str]) -> pl.Series:
    """The series' names: the text that stands there, but for blanks around it; never a number, never missing."""
    parts = pl.DataFrame([_read_name_part(long[part]) for part in file.id])
    names = parts.select(pl.concat_str(pl.all(), separator=SEPARATOR).alias("entity")).to_series()
    blank = parts.select(pl.all_horizontal(pl.all() == "")).to_series()
    if blank.any():
        row = long[ROW].filter(blank)[0] + 1
        raise ColumnError(f"--id {', '.join(file.id)}: row {row:,} names no series; fill it in or leave it out.")
    _refuse_equal_names(parts, names)
    distinct = names.unique()
    alike = distinct.filter(distinct.str.to_lowercase().is_duplicated())
    if len(alike):
        notes.append(f"{len(alike):,} series have names that differ by case only, and are told apart: {list_names(alike)}.")
    return names


def _read_name_part(column: pl.Series) -> pl.Series:
    if column.dtype.is_float() and bool((column.drop_nulls() % 1 == 0).all()):
        # Whole numbers are floats in a file that has a gap in them, and only there.
        column = column.cast(pl.Int64)
    return strip_ends(column.cast(pl.String).fill_null(""))


def _refuse_equal_names(parts: pl.DataFrame, names: pl.Series) -> None:
    """Raise ColumnError where two series have one name, since a column holds what stands between the columns."""
    pairs = parts.with_columns(names).unique()
    equal = pairs.filter(pairs["entity"].is_duplicated())
    if equal.height:
        raise ColumnError(
            f"two series would both be called {equal['entity'][0]!r}: {SEPARATOR!r} stands between columns of --id."
        )


def _read_label(
    long: pl.DataFrame, names: pl.Series, file: PanelFile, notes: list[str]
) -> tuple[pl.Series, ColumnReading | None]:
    """The values as numbers, null where they are missing, and how they were read. What is no number is named by its series and
    time, for a wide file has no row of its own for it; a series of words alone has no values, as where figures are withheld."""
    raw = long[file.label]
    reading = None if file.reading is None else file.reading.values
    if raw.dtype == pl.String:
        reading = reading or _infer_label_reading(raw, names, notes)
        text = strip_text(raw, "float", reading)
        numbers, missing = parse_text(text, "int" if file.is_whole else "float", reading), text.is_null()
    else:
        numbers = raw.cast(pl.Float64, strict=False).fill_nan(None)
        if file.reading is None:
            reading = _mark_missing_numbers(ReadColumn(numbers, ColumnReading()), names, notes).reading
        missing = raw.is_null() | (raw.is_nan() if raw.dtype.is_float() else False)
    if reading is not None and reading.sentinels:
        missing |= are_sentinels(numbers, reading.sentinels)
        numbers = numbers.set(missing, None)
    words, has_number = numbers.is_null() & ~missing, numbers.is_not_null()
    if has_number.any():
        words &= names.is_in(names.filter(has_number).unique().implode())
    written = " written as in training, whole, with no mark before three digits" if file.is_whole else ""
    for odd, what in ((words, f"no numbers{written}"), (is_too_large(numbers), "infinite or enormous")):
        rows = odd.arg_true()
        if len(rows):
            raise ColumnError(
                f"--label {file.label}: {len(rows):,} values are {what}, first {raw[rows[0]]!r} of {names[rows[0]]!r} at "
                f"{long[file.time][rows[0]]}; mend them or leave them empty."
            )
    return numbers, reading


def _infer_label_reading(raw: pl.Series, names: pl.Series, notes: list[str]) -> ColumnReading:
    """How the values are written; what is not plain is noted."""
    column = infer_text_column(raw, ReadingRules(may_be_names=False, may_be_missing=False))
    if not column.values.dtype.is_numeric():
        return infer_reading_as(raw, "float")
    # What the user can do about a column of rows, in brackets, there is not for a panel.
    notes += gather_remarks(
        (sort.partition(" (")[0] + (PLAIN_ADVICE if sort == OPEN_MARKS else ""), of) for sort, of in column.remarks
    )
    return _mark_missing_numbers(column, names, notes).reading


def _mark_missing_numbers(column: ReadColumn, names: pl.Series, notes: list[str]) -> ReadColumn:
    """The column without numbers that stand for missing, such as -999; a series of nothing else is one of such numbers."""
    marked = null_sentinels(column, ReadingRules())
    before, after = (names.filter(one.values.is_not_null()) for one in (column, marked))
    if not marked.reading.sentinels or before.n_unique() > after.n_unique():
        return column
    shown = " and ".join(f"{number:g}" for number in marked.reading.sentinels)
    notes.append(
        f"{column.values.name}: {shown} lies far from all other values and is read as missing "
        f"({len(before) - len(after):,} values)."
    )
    return marked


def _build_task(file: PanelFile) -> Task:
    columns = (Column("entity", "category", role="id"), Column("at", "time", role="time"), Column("value", "float", role="label"))
    return build_forecast_task(
        ForecastSeries(VALUES, "value", columns, file.label, None, file.frequency, file.horizon, file.cycle),
        build_task_name(file.name, file.path, file.label, "panel"),
        f"{file.label} of each {SEPARATOR.join(file.id)}, 1 to {file.frequency.format_periods(file.horizon)} ahead",
        file.families,
    )


def _compute_data_version(raw: RawTable, file: PanelFile) -> DataVersion:
    roles = {
        "layout": file.layout,
        "id": list(file.id),
        "time": file.time,
        "label": file.label,
        "frequency": file.frequency.name,
        "season": file.cycle,
        "horizon": file.horizon,
        "complete_last": file.complete_last,
    }
    return DataVersion.of_files([(raw.path, raw.sha256)], roles, [raw.content])


def add_families(file: PanelFile, extra: tuple[str, ...]) -> PanelFile:
    """The file with slow families asked for as well.

    Raises ColumnError for an unknown one, NotInstalledError for one whose library is absent.
    """
    return replace(file, families=extend_families(file.families, extra))


def build_panel_file(spec: TrainingSpec) -> PanelFile:
    """The panel and its roles. Raises UserError for what is missing or does not fit."""
    (path, label), forecast, roles, horizon = spec.require_table(), spec.forecast, spec.roles, spec.split.horizon
    if forecast.panel not in ("wide", "long"):
        raise UserError(f"--panel {forecast.panel}: give wide (a column a period) or long (a row a value).")
    if not roles.id:
        raise UserError("--panel needs --id: the column that names a series, or several.")
    if len(roles.time) != 1:
        raise UserError("--panel needs one --time: the column of times, or in a wide file a name for it.")
    if forecast.frequency is None:
        raise UserError("--panel needs --frequency: H, D, B, W, M, Q or Y.")
    if horizon != int(horizon) or not 1 <= horizon <= MAX_HORIZON:
        raise UserError(f"--horizon {horizon:g}: with --panel give the periods to forecast, 1 to {MAX_HORIZON}.")
    file = PanelFile(
        path=path,
        layout="wide" if forecast.panel == "wide" else "long",
        id=roles.id,
        time=roles.time[0],
        label=label,
        frequency=get_frequency(forecast.frequency),
        horizon=int(horizon),
        name=spec.name,
        season=forecast.season,
        complete_last=forecast.complete_last,
        strict=forecast.strict,
    )
    return add_families(file, forecast.also)
