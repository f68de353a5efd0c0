"""The user's own panel as a task: one file of many series, wide (a column a period) or long (a row a value).

A period's value is known when the period is over. What is missing stays missing: it is carried forward as an input, and never
scored. A file is one vintage; two files of different vintage are two data versions, and are never mixed in one series.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from epic22.core.data.files import RawTable, read_table
from epic22.core.data.forecast_task import MIN_VALUES, ForecastSeries, build_forecast_task
from epic22.core.data.point_in_time import Table, Tables
from epic22.core.data.schema_inference import Roles, infer_schema, is_missing, read_numbers, read_times
from epic22.core.data.task_data import PanelTaskData
from epic22.core.errors import ColumnError, UserError
from epic22.core.lineage import DataVersion
from epic22.core.models.panel.catalog import PANEL_FAMILIES
from epic22.core.task import Column, Task
from epic22.core.time_series import Frequency, get_frequency
from epic22.spec.task_name import build_task_name
from epic22.spec.training_spec import TrainingSpec

VALUES = "values"
SEPARATOR = " / "
MAX_HORIZON = 100
MIXED_SHARE = 0.5
MIN_STEPS = 4
"""A series with fewer steps than that may only have gaps."""

QUARTER = re.compile(r"^(\d{4})[ -]?Q([1-4])$")


@dataclass(frozen=True)
class PanelFile:
    """What the user says of a file. `id` are the columns that together name a series; in a wide file `time` and `label` name
    the new columns. `complete_last`: only series without a gap in this many last periods. `season`: periods a cycle."""

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
    families: tuple[str, ...] = tuple(family.name for family in PANEL_FAMILIES if not family.slow)

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
    notes: list[str] = []
    long = _read_long(raw, file, notes)
    values = _read_values(long, file, notes)
    _refuse_duplicates(values, file)
    _refuse_other_frequency(values, file)
    values = _select_usable(values, file, notes)
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
    )


def refuse_long_season(file: PanelFile, data: PanelTaskData) -> None:
    """Raise ColumnError where the season given does not come twice in the history: nothing can be learned of it."""
    n_periods = data.last - data.first + 1
    if file.season is not None and 2 * file.season > n_periods:
        raise ColumnError(
            f"--season {file.season}: the history has {n_periods:,} {file.frequency.noun}s; "
            f"give at most {max(1, n_periods // 2)}, half of them."
        )


def _read_long(raw: RawTable, file: PanelFile, notes: list[str]) -> pl.DataFrame:
    """Frame [id columns, time, label], a row a value."""
    frame, named = raw.frame, [("--id", name) for name in file.id]
    if file.layout == "long":
        named += [("--time", file.time), ("--label", file.label)]
    for option, name in named:
        if name not in frame.columns:
            raise ColumnError(f"{option} {name}: no such column; there are {', '.join(frame.columns[:20])}.")
    if file.layout == "wide":
        return _unpivot(frame, file, notes)
    if len({*file.id, file.time, file.label}) < len(file.id) + 2:
        raise ColumnError("--id, --time and --label must be different columns.")
    others = [name for name in frame.columns if name not in (*file.id, file.time, file.label)]
    if others:
        notes.append(f"not used: {', '.join(others[:10])}{' …' if len(others) > 10 else ''}.")
    return frame.select(*file.id, file.time, file.label)


def _unpivot(frame: pl.DataFrame, file: PanelFile, notes: list[str]) -> pl.DataFrame:
    headers = pl.Series("header", [name for name in frame.columns if name not in file.id])
    date_headers = headers.filter(read_times(_convert_quarters(headers)).is_not_null())
    if len(date_headers) < 2:
        raise ColumnError(
            f"--panel wide: {len(date_headers)} column names are dates, such as 2024-03-31 or 2024-03; "
            "expected a column a period. "
            "For a file with a row a value use --panel long."
        )
    others = [name for name in headers if name not in set(date_headers)]
    if others:
        notes.append(f"not used: {', '.join(others[:10])}{' …' if len(others) > 10 else ''}.")
    clash = {file.time, file.label} & set(file.id)
    if clash or file.time == file.label:
        raise ColumnError("in a wide file --time and --label name new columns: give them names that --id does not use.")
    text = frame.select(*file.id, *(pl.col(name).cast(pl.String) for name in date_headers))
    return text.unpivot(date_headers.to_list(), index=list(file.id), variable_name=file.time, value_name=file.label)


def _convert_quarters(text: pl.Series) -> pl.Series:
    """Quarters like 2024 Q2 as the first month in them."""
    if text.dtype != pl.String or not text.drop_nulls().str.contains(QUARTER.pattern).any():
        return text
    quarters = [None if value is None else QUARTER.match(value.strip()) for value in text]
    months = [
        value if quarter is None else f"{quarter[1]}-{3 * int(quarter[2]) - 2:02}"
        for value, quarter in zip(text, quarters, strict=True)
    ]
    return pl.Series(text.name, months)


def _read_values(long: pl.DataFrame, file: PanelFile, notes: list[str]) -> pl.DataFrame:
    """Frame [entity, at, period, value, known_at] of the values that are there, by series and time."""
    long = long.with_columns(_convert_quarters(long[file.time]))
    series = SEPARATOR.join(file.id)
    name = pl.concat_str([pl.col(part).cast(pl.String).fill_null("") for part in file.id], separator=SEPARATOR)
    long = long.select(name.alias(series), file.time, file.label)
    _refuse_nameless(long[series], file)
    _refuse_texts(long, file)
    typed = infer_schema(RawTable(str(file.path), long, "", "csv", None, None), Roles(file.label, (file.time,), id=series))
    assert typed.times is not None
    notes += [note for note in typed.notes if note.startswith(file.time)]
    period = file.frequency.ordinals(typed.times)
    columns = {
        "entity": typed.frame[series].cast(pl.String),
        "at": file.frequency.starts(period),
        "period": period,
        "value": typed.frame[file.label].cast(pl.Float64),
        "known_at": file.frequency.starts(period + 1),
    }
    return pl.DataFrame(columns).sort("entity", "period", maintain_order=True)


def _refuse_nameless(names: pl.Series, file: PanelFile) -> None:
    blank = names.str.strip_chars(" /") == ""
    if blank.any():
        row = blank.arg_true()[0] % max(len(names), 1) + 1
        raise ColumnError(f"--id {', '.join(file.id)}: row {row:,} names no series; fill it in or leave it out.")


def _refuse_texts(long: pl.DataFrame, file: PanelFile) -> None:
    """A value that is no number is named by its series and time, for a wide file has no row of its own for it."""
    values = long[file.label]
    invalid = (read_numbers(values).is_null() & ~is_missing(values)).arg_true()
    if len(invalid):
        series, time, value = long.row(invalid[0])
        raise ColumnError(
            f"--label {file.label}: {len(invalid):,} values are no numbers, first {value!r} of {series!r} at {time}; "
            "mend them or leave them empty."
        )


def _refuse_duplicates(values: pl.DataFrame, file: PanelFile) -> None:
    duplicates = values.filter(values.select("entity", "period").is_duplicated())
    if duplicates.height:
        row = duplicates.row(0, named=True)
        raise ColumnError(
            f"{row['entity']!r} has {duplicates.height} values that share a {file.frequency.noun} with another, first in "
            f"{file.frequency.label(row['period'])}; expected one a series and {file.frequency.noun}: name every column that "
            "tells series apart with --id, give the right --frequency, and keep revisions in files of their own."
        )


def _refuse_other_frequency(values: pl.DataFrame, file: PanelFile) -> None:
    """Series without two values in neighbouring periods are of another frequency; where only some are, several are mixed."""
    steps = values.select(step=pl.col("period").diff().over("entity"), entity="entity").drop_nulls()
    if not steps.height:
        raise ColumnError(
            f"every series has one value only; a forecast needs at least {MIN_VALUES} {file.frequency.noun}s of a series."
        )
    usual = steps.group_by("entity").agg(pl.col("step").min().alias("usual"), pl.len().alias("steps"))
    sparse = usual.filter((pl.col("usual") > 1) & (pl.col("steps") >= MIN_STEPS))
    usual_step = float(np.median(sparse["usual"].to_numpy())) if sparse.height else 1.0
    if sparse.height > MIXED_SHARE * usual.height:
        raise ColumnError(
            f"--frequency {file.frequency.name}: values come every {usual_step:g} {file.frequency.noun}s in "
            f"{sparse.height:,} of {usual.height:,} series; give the frequency they have."
        )
    if sparse.height:
        name = sparse.sort("entity")["entity"][0]
        raise ColumnError(
            f"mixed frequencies: {sparse.height:,} of {usual.height:,} series, such as {name!r}, have a value every "
            f"{usual_step:g} {file.frequency.noun}s, the others every {file.frequency.noun}; "
            "keep each frequency in a file of its own."
        )


def _select_usable(values: pl.DataFrame, file: PanelFile, notes: list[str]) -> pl.DataFrame:
    """The series that can be forecast; which were left out is noted."""
    last = int(values["period"].max())  # type: ignore[arg-type]
    usable = values
    if file.complete_last is not None:
        since = last - file.complete_last
        complete = usable.filter(pl.col("period") > since).group_by("entity").len().filter(pl.col("len") == file.complete_last)
        usable = usable.join(complete.select("entity"), on="entity", how="semi", maintain_order="left")
        notes.append(
            f"{values['entity'].n_unique() - complete.height:,} series with a gap in the last {file.complete_last} "
            f"{file.frequency.noun}s were left out (--complete-last)."
        )
    short = usable.group_by("entity").len().filter(pl.col("len") < MIN_VALUES)
    if short.height:
        notes.append(f"{short.height:,} series with fewer than {MIN_VALUES} values were left out.")
        usable = usable.join(short.select("entity"), on="entity", how="anti", maintain_order="left")
    if not usable.height:
        raise ColumnError(f"{file.path}: no series has {MIN_VALUES} values or more; bring a longer history.")
    span = usable.group_by("entity").agg((pl.col("period").max() - pl.col("period").min() + 1 - pl.len()).alias("gaps"))
    gaps = int(span["gaps"].sum())
    if gaps:
        notes.append(
            f"{gaps:,} missing values within {span.filter(pl.col('gaps') > 0).height:,} series: "
            "carried forward as inputs, never scored."
        )
    if bool((usable["value"] <= 0).any()):
        n_nonpositive = usable.filter(pl.col("value") <= 0)["entity"].n_unique()
        notes.append(f"{n_nonpositive:,} series hold zero or negative values: no logarithm is taken of them.")
    return usable


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
    """The file with slow families asked for as well. Raises ColumnError for an unknown one."""
    names = [family.name for family in PANEL_FAMILIES]
    for name in extra:
        if name not in names:
            raise ColumnError(f"--also {name}: no such family; there are {', '.join(names)}.")
    return replace(file, families=tuple(name for name in names if name in (*file.families, *extra)))


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
        raise UserError("--panel needs --frequency: H, D, W, M, Q or Y.")
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
    )
    return add_families(file, forecast.also)
