"""A label's classes: their names, two ways to write one, and those that are too rare to be trained and tested on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.names import find_variants
from epic22.core.data.rare_classes import Units, describe_rare_classes, find_rare_classes
from epic22.core.data.schema_inference import TypedTable
from epic22.core.data.split import compute_period_starts, encode_values, find_finest_period
from epic22.core.errors import ColumnError
from epic22.core.targets import KINDS
from epic22.core.task import Column, Kind
from epic22.spec.task_request import build_roles
from epic22.spec.training_spec import TrainingSpec


def format_class(value: Any) -> str:
    """A class by its name, to the last digit: two classes never share one."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def refuse_variants(label: pl.Series) -> None:
    """Raise ColumnError where two classes differ by case or blanks alone."""
    if label.dtype != pl.String:
        return
    counts = dict(label.value_counts(sort=True).iter_rows())
    variants = find_variants(list(counts))
    if variants:
        listed = [f"{name!r} ({counts[name]:,} rows)" for name in variants]
        raise ColumnError(
            f"label {label.name!r}: the classes {', '.join(listed[:-1])} and {listed[-1]} differ by case or blanks alone; write "
            f"them alike where they are one class, or tell them apart by more, as '{variants[0]} 1' and '{variants[1]} 2'."
        )


def leave_out_rare_classes(table: TypedTable, kind: Kind, spec: TrainingSpec) -> tuple[TypedTable, tuple[str, ...]]:
    """The table without the rows of classes that no split can both train and test on, and the note that names them."""
    is_holdout = spec.data.test is not None or spec.split.holdout_from is not None or spec.split.holdout_last is not None
    if is_holdout or not KINDS[kind].is_classification or KINDS[kind].has_positive_class:
        return table, ()
    units, label = _list_units(table, spec), table.frame[spec.label]
    rare = find_rare_classes(pl.Series([format_class(value) for value in label.to_list()]), units)
    if not rare:
        return table, ()
    names = {one.name for one in rare}
    is_common = pl.Series([format_class(value) not in names for value in label.to_list()])
    columns = tuple(
        replace(c, levels=tuple(level for level in c.levels if c.role != "label" or level not in names)) for c in table.columns
    )
    times = None if table.times is None else table.times.filter(is_common)
    return replace(table, frame=table.frame.filter(is_common), times=times, columns=columns), (
        describe_rare_classes(spec.label, rare, units),
    )


def _remove_levels(column: Column, names: Sequence[str]) -> Column:
    return replace(column, levels=tuple(level for level in column.levels if level not in names))


def _list_units(table: TypedTable, spec: TrainingSpec) -> Units:
    """What a split keeps whole: groups, an id that repeats, periods of time, else rows."""
    by, split = build_roles(spec), spec.split
    is_timed = table.times is not None and not split.random_rows_despite_time
    if by.group is not None:
        return Units(encode_values(table.frame[by.group].cast(pl.String).fill_null("missing").to_numpy()), "group", 2)
    if is_timed and table.times is not None:
        at = table.times.cast(pl.Datetime("us")).to_numpy()
        period = split.group_by or find_finest_period(at)
        return Units(encode_values(compute_period_starts(at, period)), period, 2)
    if by.id is not None and table.frame[by.id].n_unique() < table.frame.height:
        return Units(encode_values(table.frame[by.id].cast(pl.String).fill_null("missing").to_numpy()), by.id, 2)
    return Units(np.arange(table.frame.height), "row", split.folds)
