"""Columns against the contract: missing, renamed, retyped."""

import difflib

import polars as pl

from epic22.core.quality.finding import Finding, cast_to_contract, format_share
from epic22.core.tables.canonical import DTYPES, KNOWN_AT, CanonicalTable
from epic22.core.task import Column

MIN_SIMILARITY = 0.5
"""Least likeness of two names (difflib) that makes one a candidate for the other."""


def audit_schema(
    frame: pl.DataFrame, table: CanonicalTable, before: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, tuple[Finding, ...]]:
    """The frame with renamed columns put back, and what differs from the contract.

    An undeclared column stands for a missing one where their values agree with `before`, or where its name is near and its
    type fits. A missing column that may be null is reported, and not grave.
    """
    findings: list[Finding] = []
    spare = [name for name in frame.columns if name not in table.schema]
    for column in (*table.columns, Column(KNOWN_AT, "time", role="time")):
        if column.name in frame.columns:
            findings += _report_retyped(frame[column.name], column, table)
            continue
        other = _find_renamed_column(frame, column, spare, before)
        if other is None:
            findings.append(_report_missing(table, column, spare))
            continue
        name, why = other
        spare.remove(name)
        frame = frame.rename({name: column.name})
        findings.append(
            Finding(table.name, column.name, "renamed column", f"no column {column.name}; {name} stands for it: {why}.")
        )
    return frame, tuple(findings)


def _report_missing(table: CanonicalTable, column: Column, spare: list[str]) -> Finding:
    there = f"undeclared columns: {', '.join(spare)}" if spare else "no undeclared column could stand for it"
    kind = "may be null" if column.optional else "is needed"
    return Finding(
        table.name, column.name, "missing column", f"no column {column.name}, which {kind}; {there}.", not column.optional
    )


def _report_retyped(series: pl.Series, column: Column, table: CanonicalTable) -> list[Finding]:
    expected = DTYPES[column.dtype]
    if series.dtype == expected:
        return []
    one = CanonicalTable(table.name, (column,), (column.name,), column.name)
    read = cast_to_contract(series.to_frame().with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias(KNOWN_AT)), one)[
        column.name
    ]
    present = len(series) - series.null_count()
    readable = len(read) - read.null_count()
    evidence = f"{column.name} is {series.dtype}, expected {expected}; {format_share(readable, present)} can be read as that."
    return [Finding(table.name, column.name, "retyped column", evidence)]


def _find_renamed_column(
    frame: pl.DataFrame, column: Column, spare: list[str], before: pl.DataFrame | None
) -> tuple[str, str] | None:
    """The undeclared column that is the missing one under another name, and why; None where none is."""
    fitting = [name for name in spare if frame[name].dtype == DTYPES[column.dtype] and _fits_contract(frame[name], column)]
    if before is not None and column.name in before.columns:
        for name in fitting:
            same = _compute_common_share(frame[name], before[column.name])
            if same >= 0.5:
                return name, f"{same:.0%} of its values occurred in {column.name} before"
    likeness = {name: difflib.SequenceMatcher(None, name.lower(), column.name.lower()).ratio() for name in fitting}
    near = [name for name in fitting if likeness[name] >= MIN_SIMILARITY or _split_name(name) & _split_name(column.name)]
    if not near:
        return None
    best = max(near, key=lambda name: likeness[name])
    return best, "its name is near, its type and its values fit"


def _split_name(name: str) -> set[str]:
    return {part for part in name.lower().split("_") if len(part) > 2}


def _fits_contract(series: pl.Series, column: Column) -> bool:
    """Whether the values fit the column's levels and bounds."""
    present = series.drop_nulls()
    if column.levels:
        return bool(present.is_in(list(column.levels)).all())
    return not (column.has_bounds and present.dtype.is_numeric() and column.find_outside(present).any())


def _compute_common_share(series: pl.Series, before: pl.Series) -> float:
    """The share of values that occurred before; 0 where the types differ or nothing is there."""
    present = series.drop_nulls()
    if before.dtype != series.dtype or present.is_empty():
        return 0.0
    return float(present.is_in(before.drop_nulls().unique().implode()).mean())  # type: ignore[arg-type]
