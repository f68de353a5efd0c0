"""A label's classes: their names, two ways to write one, and those that are too rare to be trained and tested on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from epic22.core.data.names import group_variants
from epic22.core.data.schema_inference import TypedTable
from epic22.core.data.split import compute_period_starts, encode_values, find_finest_period
from epic22.core.errors import ColumnError
from epic22.core.targets import KINDS, Array
from epic22.core.task import Kind
from epic22.spec.task_request import build_roles
from epic22.spec.training_spec import TrainingSpec

MAX_SHARE = 0.05
"""Rare classes with more of the rows than this together are not left out: the user has to say what is to become of them."""

MIN_CLASSES = 2
MAX_CLASSES = 50


@dataclass(frozen=True)
class Units:
    """The unit of each row, codes (n,), what it is called, and in how many of them a class must occur."""

    codes: Array
    noun: str
    min_units: int


@dataclass(frozen=True)
class RareClass:
    """A class, its rows, and the units that it occurs in."""

    name: str
    n_rows: int
    n_units: int


def format_class(value: Any) -> str:
    """A class by its name, to the last digit: two classes never share one."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def refuse_variants(label: pl.Series, rows_of: Mapping[str, int] | None = None) -> None:
    """Raise ColumnError where two classes differ by case or blanks alone. `rows_of`: the rows of each class, where the label's
    values are not those of all rows."""
    if label.dtype != pl.String:
        return
    if rows_of is None:
        rows_of = dict(label.drop_nulls().value_counts().iter_rows())
    counts = dict(sorted(rows_of.items(), key=lambda pair: (-pair[1], pair[0])))
    classes = group_variants(list(counts))
    variants = [names for names in classes if len(names) > 1]
    if not variants or len(classes) > MAX_CLASSES:
        return
    listed = "; ".join(" and ".join(f"{name!r} ({counts[name]:,} rows)" for name in names) for names in variants)
    levels = json.dumps({label.name: {"levels": sorted(names[0] for names in classes)}}, ensure_ascii=False)
    first, second = variants[0][:2]
    raise ColumnError(
        f"label {label.name!r}: classes that differ by case or blanks alone: {listed}. Where they are one class, the lines "
        f"'version: 1' and 'columns: {levels}' in a file, and --task-file FILE, read each as its most frequent way; where they "
        f"are not, tell them apart by more, as '{first} 1' and '{second} 2'."
    )


def leave_out_rare_classes(table: TypedTable, kind: Kind, spec: TrainingSpec) -> tuple[TypedTable, tuple[str, ...]]:
    """The table without the rows of classes that no split can both train and test on, and the note that names them."""
    if not may_lack_classes(kind, spec):
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


def may_lack_classes(kind: Kind, spec: TrainingSpec) -> bool:
    """Whether rare classes are left out: of several, where no rows are named to be tested on."""
    is_holdout = spec.data.test is not None or spec.split.holdout_from is not None or spec.split.holdout_last is not None
    return not is_holdout and KINDS[kind].is_classification and not KINDS[kind].has_positive_class


def _list_units(table: TypedTable, spec: TrainingSpec) -> Units:
    """What a split keeps whole: groups, an id that repeats, periods of time, else rows."""
    by = build_roles(spec)
    name = by.group or by.id
    who = None if name is None else table.frame[name].cast(pl.String).fill_null("missing").to_numpy()
    at = None if table.times is None else table.times.cast(pl.Datetime("us")).to_numpy()
    return list_units(who, at, table.frame.height, spec)


def list_units(who: Array | None, at: Array | None, n_rows: int, spec: TrainingSpec) -> Units:
    """What a split keeps whole, of rows whose groups or ids, and whose times, are these (n,)."""
    by, split = build_roles(spec), spec.split
    if by.group is not None and who is not None:
        return Units(encode_values(who), "group", 2)
    if at is not None and not split.random_rows_despite_time:
        period = split.group_by or find_finest_period(at)
        return Units(encode_values(compute_period_starts(at, period)), period, 2)
    if by.id is not None and who is not None and len(codes := encode_values(who)) and codes.max() + 1 < n_rows:
        return Units(codes, by.id, 2)
    return Units(np.arange(n_rows), "row", split.folds)


def find_rare_classes(names: pl.Series, units: Units) -> tuple[RareClass, ...]:
    """The classes that occur in too few units to be trained and tested on, the rarest first.

    Empty where they have too many of the rows to be left out, or fewer than two classes would remain.

    >>> import numpy as np
    >>> names = pl.Series(["a", "b"] * 30 + ["c"])
    >>> find_rare_classes(names, Units(np.arange(61), "row", 5))
    (RareClass(name='c', n_rows=1, n_units=1),)
    """
    frame = pl.DataFrame({"name": names, "unit": units.codes})
    counts = frame.group_by("name").agg(n_rows=pl.len(), n_units=pl.col("unit").n_unique()).sort("n_rows", "name")
    rare = counts.filter(pl.col("n_units") < units.min_units)
    if counts.height - rare.height < MIN_CLASSES or rare["n_rows"].sum() > MAX_SHARE * len(names):
        return ()
    return tuple(RareClass(str(name), int(n_rows), int(n_units)) for name, n_rows, n_units in rare.iter_rows())


def describe_rare_classes(label: str, rare: Sequence[RareClass], units: Units) -> str:
    """The note about classes that were left out, and what it takes to keep them."""
    places = ("" if units.noun == "row" else f" in {_count(one.n_units, units.noun)}" for one in rare)
    listed = ", ".join(f"{one.name!r} ({_count(one.n_rows, 'row')}{place})" for one, place in zip(rare, places, strict=True))
    return (
        f"{label}: too rare to be trained and tested on, so left out: {listed}. That takes {units.min_units} {units.noun}s with "
        "the class; bring more of it, or give its rows another class."
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
