"""What the user states of single columns, over what their values would let one infer: types, units, bounds, levels, words."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from epic22.core.column import Column, ColumnOverride, ColumnReading, Dtype
from epic22.core.data.column_reading import ReadingRules, infer_reading_as
from epic22.core.data.files import RawTable
from epic22.core.data.names import merge_variants
from epic22.core.data.schema_inference import (
    MAX_CATEGORY_LEVELS,
    Roles,
    TypedFrame,
    TypedTable,
    add_offsets,
    assign_roles,
    build_rules,
    cast_column,
    describe_unusable,
    infer_schema,
    infer_types,
    refuse_unfit_roles,
    select_values,
    suggest_names,
)
from epic22.core.errors import ColumnError

NUMBERS = ("int", "float")


def infer_with_overrides(raw: RawTable, roles: Roles, overrides: Sequence[ColumnOverride]) -> TypedTable:
    """The table as `infer_schema` gives it, but for what is stated.

    Raises ColumnError for a column that is absent or has another role already, for values that do not fit what is stated, and for
    all that `infer_schema` refuses.
    """
    if not overrides:
        return infer_schema(raw, roles)
    refuse_unfit_roles(raw.frame.columns, roles)
    refuse_unfit_overrides(raw.frame.columns, roles, overrides)
    notes = list(raw.notes)
    # A category may mix numbers and letters; what else is stated is held against each value below.
    by_name = {one.name: one for one in overrides}
    typed = infer_types(raw, roles, notes, by_name)
    for one in overrides:
        series = raw.frame[one.name] if one.dtype is None else select_values(raw, one.name, one.dtype)
        typed = _apply_override(series, typed, one, build_rules(one.name, roles, one))
        if one.name not in roles.drop and one.role != "never":
            _refuse_unusable(typed.frame[one.name], one)
        if one.name == roles.label and one.levels:
            typed = _merge_classes(typed, one, notes)
        _refuse_out_of_bounds(typed.frame[one.name], one)
    table = assign_roles(typed, roles, notes)
    columns = tuple(override_column(c, by_name.get(c.name)) for c in table.columns)
    return add_offsets(replace(table, columns=columns), raw.frame.filter(typed.frame[roles.label].is_not_null()))


def refuse_unfit_overrides(names: Sequence[str], roles: Roles, overrides: Sequence[ColumnOverride]) -> None:
    """Raise ColumnError for a column that is not there, or that has a role which leaves no room for what is stated."""
    for one in overrides:
        if one.name not in names:
            raise ColumnError(f"columns.{one.name}: no such column{suggest_names(one.name, names)}")
        role = _find_role(one.name, roles)
        unfit = [key for key in ("dtype", "low", "high", "levels", "role") if getattr(one, key) not in (None, ())]
        unfit = [key for key in unfit if (role, key) != ("label", "levels")]
        unfit = [key for key in unfit if key != "dtype" or not takes_type(one.name, roles) or one.dtype not in NUMBERS]
        if role is not None and unfit:
            more = {"label": " and its levels", "offset": " and a type of numbers"}.get(role, "")
            raise ColumnError(f"columns.{one.name}.{unfit[0]}: the column is the {role}; say its unit and about{more} alone.")
        if one.name in roles.drop and one.role == "input":
            raise ColumnError(f"columns.{one.name}.role: input, but roles.drop has it; leave one of them out.")
        _refuse_contradictions(one)


def takes_type(name: str, roles: Roles) -> bool:
    """Whether a type can be stated of a column: its role does not say by itself how it is read. An offset's is one of numbers."""
    return _find_role(name, roles) in (None, "offset")


def _find_role(name: str, roles: Roles) -> str | None:
    roles_by_name = {roles.label: "label", roles.group: "group", roles.id: "id", roles.offset: "offset"}
    return (roles_by_name | dict.fromkeys(roles.time[:1], "time")).get(name)


def _refuse_contradictions(one: ColumnOverride) -> None:
    if one.has_bounds and one.dtype not in (None, *NUMBERS):
        raise ColumnError(f"columns.{one.name}: low and high are of numbers, and its dtype is {one.dtype}; leave them out.")
    if one.low is not None and one.high is not None and one.low > one.high:
        raise ColumnError(f"columns.{one.name}: low {one.low:g} is above high {one.high:g}; swap them.")
    if one.levels and one.dtype not in (None, "category"):
        raise ColumnError(f"columns.{one.name}: levels are of a category, and its dtype is {one.dtype}; leave them out.")
    if one.role == "input" and one.dtype == "text":
        raise ColumnError(f"columns.{one.name}: free text is no input; say dtype: category, or leave the role out.")


def _apply_override(raw: pl.Series, typed: TypedFrame, one: ColumnOverride, rules: ReadingRules) -> TypedFrame:
    """The frame with the column in its stated type, and how it is read for that.

    Raises ColumnError naming the first row that does not fit.
    """
    dtype = "category" if one.levels else one.dtype
    if dtype is None or _has_dtype(typed.frame[one.name], dtype):
        return typed
    problems: list[tuple[int, str | None, str]] = []
    reading = infer_reading_as(raw, dtype, rules) if raw.dtype == pl.String else ColumnReading(missing=rules.missing)
    values = cast_column(raw, Column(one.name, dtype, reading=reading), problems)
    if dtype == "int" and not problems:
        part = (values != values.round()).fill_null(value=False)
        problems = [(row, one.name, f"{values[row]!r} is no whole number") for row in part.arg_true()]
        values = values if problems else values.cast(pl.Int64)
    if problems:
        row, _, what = problems[0]
        raise ColumnError(f"columns.{one.name}.dtype: {dtype} is stated, but row {row + 1:,}: {what}; mend one of them.")
    return TypedFrame(typed.frame.with_columns(values), {**typed.readings, one.name: reading})


def _refuse_unusable(series: pl.Series, one: ColumnOverride) -> None:
    """Raise ColumnError for values that the stated type has room for, and no model."""
    problem = describe_unusable(series)
    if problem is not None:
        raise ColumnError(f"columns.{one.name}.dtype: {one.dtype} is stated; {problem}: mend them, or leave them empty.")


def _merge_classes(typed: TypedFrame, one: ColumnOverride, notes: list[str]) -> TypedFrame:
    """The frame with the label's classes written as they are stated, and a note that says which were not."""
    label = typed.frame[one.name]
    merged = merge_variants(label, one.levels)
    changed = label.filter((label != merged).fill_null(value=False)).value_counts(sort=True)
    if changed.height:
        counts = changed.sort("count", one.name, descending=[True, False])
        listed = ", ".join(f"{name!r} ({n:,} rows)" for name, n in counts.iter_rows())
        notes.append(f"{one.name}: {listed} are read as the levels that columns.{one.name} states; case and blanks alone differ.")
    return replace(typed, frame=typed.frame.with_columns(merged))


def _has_dtype(typed: pl.Series, dtype: Dtype) -> bool:
    """Whether the values are of this type as they were read."""
    own: dict[Dtype, bool] = {
        "int": typed.dtype.is_integer(),
        "float": typed.dtype.is_float(),
        "bool": typed.dtype == pl.Boolean,
        "time": typed.dtype.is_temporal(),
    }
    return own.get(dtype, typed.dtype == pl.String) or typed.null_count() == len(typed)


def _refuse_out_of_bounds(series: pl.Series, one: ColumnOverride) -> None:
    """Raise ColumnError for the first value beyond the bounds, or of a level that is not stated."""
    if one.has_bounds:
        refuse_bounds_of_names(series.dtype.is_numeric(), one)
        odd, expected = one.find_outside(series), one.describe()
    elif one.levels:
        odd, expected = ~series.is_in(list(one.levels)).fill_null(value=True), f"one of {', '.join(one.levels[:10])}"
    else:
        return
    if odd.any():
        row = odd.arg_true()[0]
        raise ColumnError(
            f"columns.{one.name}: {odd.sum():,} values do not fit, first {series[row]!r} in row {row + 1:,} of the file; "
            f"expected {expected}: mend the rows, or what is stated."
        )


def refuse_bounds_of_names(is_number: bool, one: ColumnOverride) -> None:
    """Raise ColumnError for bounds of a column that holds no numbers."""
    if not is_number and one.has_bounds:
        raise ColumnError(f"columns.{one.name}: low and high are of numbers, and it holds none; leave them out.")


def override_column(column: Column, one: ColumnOverride | None) -> Column:
    """The column with what is stated of it. Raises ColumnError where that cannot be."""
    if one is None:
        return column
    if one.dtype == "category" and column.dtype == "text":
        raise ColumnError(
            f"columns.{one.name}.dtype: it has more than {MAX_CATEGORY_LEVELS} levels, and they do not come "
            "again; say dtype: text."
        )
    overridden = one.override(column)
    if one.dtype == "text" and column.role == "input":
        return replace(overridden, role="never", levels=())
    if one.role == "input" and column.role == "never":
        raise ColumnError(f"columns.{one.name}.role: it tells nothing (empty, constant or free text), so it is no input.")
    return overridden
