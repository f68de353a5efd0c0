"""Rows against a canonical table's contract: what is whole is kept, what is broken is set apart with its line and the reasons.

Everything is derived from the declared columns, rules and references, the same that the API answers from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from epic22.core.errors import ColumnError
from epic22.core.tables.canonical import DTYPES, KNOWN_AT, CanonicalTable, Reference, get_canonical_table
from epic22.core.tables.parsing import count_rounded, parse_column, strip_text
from epic22.core.task import Column
from epic22.core.text import find_near_names

LINE_COLUMN = "#line"
"""The column that carries a raw row's line in its file, from 1; it is no part of the data."""
BROKEN_COLUMN, TEXT_COLUMN = "#broken", "#text"
"""The columns that say of a line why it is no row at all, null for rows, and hold that line as it is."""
MAX_UNREADABLE_SHARE = 0.5
"""A column of which more than this share cannot be of its type is another column, not broken rows."""
MIN_NAME_RATIO = 0.75
"""Names less alike than this are not taken for one another by their letters alone."""

DTYPE_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "money": "an amount of money",
    "time": "a date or time as in 2024-03-01 or 2024-03-01T12:00:00Z",
    "category": "text",
    "text": "text",
}


@dataclass(frozen=True)
class CheckResult:
    """What a check leaves: `valid` in the table's schema with `#line` beside it; `rejected` [line, reason, row].

    `n_rounded` counts money values that had more than two decimals.
    """

    valid: pl.DataFrame
    rejected: pl.DataFrame
    n_rounded: int = 0


REJECTED_SCHEMA = {"line": pl.Int64(), "reason": pl.String(), "row": pl.String()}


def build_known_at_column() -> Column:
    """The column that every table has beside its declared ones."""
    return Column(KNOWN_AT, "time", role="time")


def list_expected_columns(table: CanonicalTable, names: Sequence[str]) -> tuple[Column, ...]:
    """The declared columns, `known_at`, and those beyond that the table takes."""
    declared = (*table.columns, build_known_at_column())
    if table.extra_columns is None:
        return declared
    declared_names = {column.name for column in declared}
    extra = [name for name in names if name not in declared_names and not name.startswith("#")]
    return (*declared, *(replace(table.extra_columns, name=name, optional=True) for name in extra))


def check_header(table: CanonicalTable, names: Sequence[str]) -> tuple[str, ...]:
    """Notes about columns that are not the table's. Raises ColumnError where a required one is absent."""
    given = [name for name in names if not name.startswith("#")]
    declared = {column.name for column in table.columns} | {KNOWN_AT}
    unknown = [] if table.extra_columns else [name for name in given if name not in declared]
    missing = [c.name for c in table.columns if not c.optional and c.name not in given]
    if missing:
        named = ", ".join(f"{name}{_suggest_rename(name, unknown)}" for name in missing)
        raise ColumnError(f"{table.name}: no column {named}.")
    absent = [name for name in declared if name not in given]
    return tuple(
        f"{table.name}: column {name} is not one of its own and was left out{_suggest_rename(name, absent)}" for name in unknown
    )


def _suggest_rename(name: str, others: Sequence[str]) -> str:
    near = find_near_names(name, others, cutoff=MIN_NAME_RATIO)
    return f" (renamed? there is {near[0]})" if near else ""


def check_rows(
    table: CanonicalTable,
    frame: pl.DataFrame,
    others: Mapping[str, pl.DataFrame],
    max_unreadable: float = MAX_UNREADABLE_SHARE,
) -> CheckResult:
    """Check raw rows: types, required values, bounds, levels, rules, references. Each broken row gets all its reasons.

    `frame` holds text or typed columns and may hold `#line`; `others` the latest versions of the tables referred to. A table
    that is not among them is taken for empty. Raises ColumnError where a column is absent or plainly of another type: where more
    than the share `max_unreadable` of its values is.
    """
    check_header(table, frame.columns)
    frame, unreadable = _split_unreadable(frame)
    columns = list_expected_columns(table, frame.columns)
    bare = _strip_columns(frame, columns)
    typed = pl.DataFrame([bare[LINE_COLUMN], *(_parse_declared_column(bare, c) for c in columns)])
    unread = [_find_unreadable(table, c, bare, typed, max_unreadable) for c in columns if c.name in bare.columns]
    wide = typed.with_columns(mask for mask in unread if mask is not None)
    for reference in table.references:
        wide = wide.join(_build_lookup(table, reference, others), on=reference.column, how="left", maintain_order="left")
    reasons = list(_iterate_violations(table, columns, wide.columns))
    fine = wide.select(~pl.any_horizontal(bad for bad, _ in reasons)).to_series()
    money = sum(count_rounded(bare[c.name], typed[c.name]) for c in columns if c.dtype == "money" and c.name in bare.columns)
    if bool(fine.all()):
        return CheckResult(typed, unreadable, money)
    broken = _collect_rejected(bare.filter(~fine), wide.filter(~fine), reasons)
    return CheckResult(typed.filter(fine), pl.concat([unreadable, broken]).sort("line", maintain_order=True), money)


def _split_unreadable(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows, and the lines that are none, as broken."""
    if BROKEN_COLUMN not in frame.columns:
        return frame, pl.DataFrame(schema=REJECTED_SCHEMA)
    text = pl.struct(pl.col(TEXT_COLUMN).alias("text")).struct.json_encode()
    unreadable_rows = frame.filter(pl.col(BROKEN_COLUMN).is_not_null())
    unreadable = unreadable_rows.select(
        pl.col(LINE_COLUMN).cast(pl.Int64).alias("line"), pl.col(BROKEN_COLUMN).alias("reason"), text.alias("row")
    )
    return frame.filter(pl.col(BROKEN_COLUMN).is_null()).drop(BROKEN_COLUMN, TEXT_COLUMN), unreadable


def _strip_columns(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The expected columns and the line, blanks taken from around text, rows without any value left out."""
    if LINE_COLUMN not in frame.columns:
        frame = frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(LINE_COLUMN))
    given = [strip_text(frame[c.name]) for c in columns if c.name in frame.columns]
    bare = pl.DataFrame([frame[LINE_COLUMN].cast(pl.Int64), *given])
    empty = bare.select(pl.all_horizontal(pl.all().exclude(LINE_COLUMN).is_null())).to_series()
    return bare.filter(~empty) if bool(empty.any()) else bare


def _parse_declared_column(bare: pl.DataFrame, column: Column) -> pl.Series:
    if column.name not in bare.columns:
        return pl.Series(column.name, [None] * bare.height, dtype=DTYPES[column.dtype])
    return parse_column(bare[column.name], column).alias(column.name)


def _find_unreadable(
    table: CanonicalTable, column: Column, bare: pl.DataFrame, typed: pl.DataFrame, max_share: float
) -> pl.Series | None:
    """Which values are there but not of the column's type, as `#unread:…`; None where all are.

    Raises ColumnError where more than that share of the values are not.
    """
    raw, read = bare[column.name], typed[column.name]
    n_lost = read.null_count() - raw.null_count()
    if n_lost == 0:
        return None
    mask = (raw.is_not_null() & read.is_null()).alias(f"#unread:{column.name}")
    present = raw.len() - raw.null_count()
    if n_lost > max_share * present and present > 1:
        raise ColumnError(
            f"{table.name}.{column.name}: {n_lost:,} of {present:,} values are not {DTYPE_WORDS[column.dtype]} (the first: "
            f"{raw.filter(mask)[0]!r}); name the right column or unit in the mapping file."
        )
    return mask


def _build_lookup(table: CanonicalTable, reference: Reference, others: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row a key of the referenced table: the key, `#found:…`, and the columns that rules name with a dot."""
    names = list_referenced_columns(table, reference.table)
    target = get_canonical_table(reference.table)
    other = others.get(reference.table, pl.DataFrame(schema=target.schema))
    return (
        other.select(reference.column, *(pl.col(n).alias(f"{reference.table}.{n}") for n in names))
        .unique(reference.column, keep="last", maintain_order=True)
        .with_columns(pl.lit(True).alias(_match_flag(reference)))
    )


def list_referenced_columns(table: CanonicalTable, other: str) -> tuple[str, ...]:
    """The columns of the other table that this table's rules look at."""
    names = {name for rule in table.rules for name in rule.holds.meta.root_names()}
    return tuple(sorted(name.removeprefix(f"{other}.") for name in names if name.startswith(f"{other}.")))


def _match_flag(reference: Reference) -> str:
    return f"#found:{reference.table}"


def _iterate_violations(
    table: CanonicalTable, columns: Sequence[Column], names: Sequence[str]
) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """Pairs of what is wrong with a row (never null) and the words for it."""
    for column in columns:
        yield from _iterate_value_violations(column, f"#unread:{column.name}" in names)
    for rule in table.rules:
        rule_columns = dict.fromkeys(rule.holds.meta.root_names())
        values = [_format_value(pl.lit(f"{name} is "), pl.col(name)) for name in rule_columns]
        words = pl.concat_str([pl.lit(f"expected {rule.words}, but "), pl.concat_str(values, separator=", ")])
        yield ~rule.holds.fill_null(True), words
    for reference in table.references:
        name = pl.col(reference.column)
        words = pl.format(f"no {reference.column} {{}} in {reference.table}", name)
        yield name.is_not_null() & pl.col(_match_flag(reference)).is_null(), words


def _iterate_value_violations(column: Column, has_unreadable: bool) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    value = pl.col(column.name)
    text = _format_value(pl.lit(f"{column.name} is "), value)
    missing = value.is_null()
    if has_unreadable:
        mask = pl.col(f"#unread:{column.name}")
        missing = missing & ~mask
        yield (
            mask,
            _format_value(pl.lit(f"{column.name} is "), pl.col(f"#raw:{column.name}"))
            + f", expected {DTYPE_WORDS[column.dtype]}",
        )
    if not column.optional:
        yield missing, pl.lit(f"{column.name} is empty")
    if column.has_bounds:
        yield column.find_outside(value), text + f", expected {column.describe()}"
    if column.levels:
        yield ~value.is_in(list(column.levels)).fill_null(True), text + f", expected one of {', '.join(column.levels)}"


def _format_value(before: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.concat_str([before, value.cast(pl.String).fill_null("empty")])


def _collect_rejected(bare: pl.DataFrame, wide: pl.DataFrame, reasons: Sequence[tuple[pl.Expr, pl.Expr]]) -> pl.DataFrame:
    """The broken rows with all their reasons, joined by "; ", and their raw values as JSON."""
    raw = bare.drop(LINE_COLUMN)
    messages = pl.concat_str([pl.when(bad).then(words) for bad, words in reasons], separator="; ", ignore_nulls=True)
    return (
        wide.with_columns(raw.rename({name: f"#raw:{name}" for name in raw.columns}))
        .select(pl.col(LINE_COLUMN).alias("line"), messages.alias("reason"))
        .with_columns(raw.select(pl.struct(pl.all()).struct.json_encode().alias("row")))
    )
