"""Rows against a canonical table's contract: what is whole is kept, what is broken is set apart with its line and the reasons.

Everything is derived from the declared columns, rules and references, the same that the API answers from.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from epic22.core.data.canonical import DTYPES, KNOWN_AT, CanonicalTable, Reference, canonical_table
from epic22.core.data.parsing import parsed, rounded, stripped
from epic22.core.errors import ColumnError
from epic22.core.task import Column

LINE = "#line"
"""The column that carries a raw row's line in its file, from 1; it is no part of the data."""
BROKEN, TEXT = "#broken", "#text"
"""The columns that say of a line why it is no row at all, null for rows, and hold that line as it is."""
RETYPED = 0.5
"""A column of which more than this share cannot be of its type is another column, not broken rows."""
WORDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "money": "an amount of money",
    "time": "a date or time as in 2024-03-01 or 2024-03-01T12:00:00Z",
    "category": "text",
    "text": "text",
}


@dataclass(frozen=True)
class Broken:
    """A row that was set apart: its line in the file, every reason in words, and the row as it came, as JSON."""

    line: int
    reason: str
    row: str


@dataclass(frozen=True)
class Checked:
    """What a check leaves: `kept` in the table's schema with `#line` beside it; `broken` [line, reason, row].

    `rounded` counts money values that had more than two decimals.
    """

    kept: pl.DataFrame
    broken: pl.DataFrame
    rounded: int = 0

    def reasons(self) -> tuple[Broken, ...]:
        """The broken rows as records, in the order of the file."""
        return tuple(Broken(*row) for row in self.broken.iter_rows())


BROKEN_SCHEMA = {"line": pl.Int64(), "reason": pl.String(), "row": pl.String()}


def known_at_column() -> Column:
    """The column that every table has beside its declared ones."""
    return Column(KNOWN_AT, "time", role="time")


def expected_columns(table: CanonicalTable, names: Sequence[str]) -> tuple[Column, ...]:
    """The declared columns, `known_at`, and those beyond that the table takes."""
    declared = (*table.columns, known_at_column())
    if table.further is None:
        return declared
    known = {column.name for column in declared}
    further = table.further
    extra = [
        Column(n, further.dtype, optional=True, role=further.role) for n in names if n not in known and not n.startswith("#")
    ]
    return (*declared, *extra)


def check_header(table: CanonicalTable, names: Sequence[str]) -> tuple[str, ...]:
    """Notes about columns that are not the table's. Raises ColumnError where a required one is absent."""
    given = [name for name in names if not name.startswith("#")]
    declared = {column.name for column in table.columns} | {KNOWN_AT}
    unknown = [] if table.further else [name for name in given if name not in declared]
    missing = [c.name for c in table.columns if not c.optional and c.name not in given]
    if missing:
        raise ColumnError(f"{table.name}: no column {_missing(missing, unknown)}.")
    absent = [name for name in declared if name not in given]
    return tuple(f"{table.name}: column {name} is not one of its own and was left out{_hint(name, absent)}" for name in unknown)


def _missing(missing: Sequence[str], unknown: Sequence[str]) -> str:
    return ", ".join(f"{name}{_hint(name, unknown)}" for name in missing)


def _hint(name: str, others: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), [other.lower() for other in others], n=1, cutoff=0.5)
    nearest = next((other for other in others if near and other.lower() == near[0]), None)
    return f" (renamed? there is {nearest})" if nearest else ""


def check_rows(table: CanonicalTable, frame: pl.DataFrame, others: Mapping[str, pl.DataFrame]) -> Checked:
    """Check raw rows: types, required values, bounds, levels, rules, references. Each broken row gets all its reasons.

    `frame` holds text or typed columns and may hold `#line`; `others` the latest versions of the tables referred to. A table
    that is not among them is taken for empty. Raises ColumnError where a column is absent or plainly of another type.
    """
    check_header(table, frame.columns)
    frame, unreadable = _rows_alone(frame)
    columns = expected_columns(table, frame.columns)
    bare = _bare(frame, columns)
    typed = pl.DataFrame([bare[LINE], *(_typed(bare, c) for c in columns)])
    unread = [_unread(table, c, bare, typed) for c in columns if c.name in bare.columns]
    wide = typed.with_columns(mask for mask in unread if mask is not None)
    for reference in table.references:
        wide = wide.join(_looked_up(table, reference, others), on=reference.column, how="left", maintain_order="left")
    reasons = list(_reasons(table, columns, wide.columns))
    fine = wide.select(~pl.any_horizontal(bad for bad, _ in reasons)).to_series()
    money = sum(rounded(bare[c.name], typed[c.name]) for c in columns if c.dtype == "money" and c.name in bare.columns)
    if bool(fine.all()):
        return Checked(typed, unreadable, money)
    broken = _set_apart(bare.filter(~fine), wide.filter(~fine), reasons)
    return Checked(typed.filter(fine), pl.concat([unreadable, broken]).sort("line", maintain_order=True), money)


def _rows_alone(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows, and the lines that are none, as broken."""
    if BROKEN not in frame.columns:
        return frame, pl.DataFrame(schema=BROKEN_SCHEMA)
    text = pl.struct(pl.col(TEXT).alias("text")).struct.json_encode()
    lost = frame.filter(pl.col(BROKEN).is_not_null())
    unreadable = lost.select(pl.col(LINE).cast(pl.Int64).alias("line"), pl.col(BROKEN).alias("reason"), text.alias("row"))
    return frame.filter(pl.col(BROKEN).is_null()).drop(BROKEN, TEXT), unreadable


def _bare(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The expected columns and the line, blanks taken from around text, rows without any value left out."""
    if LINE not in frame.columns:
        frame = frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(LINE))
    given = [stripped(frame[c.name]) for c in columns if c.name in frame.columns]
    bare = pl.DataFrame([frame[LINE].cast(pl.Int64), *given])
    empty = bare.select(pl.all_horizontal(pl.all().exclude(LINE).is_null())).to_series()
    return bare.filter(~empty) if bool(empty.any()) else bare


def _typed(bare: pl.DataFrame, column: Column) -> pl.Series:
    if column.name not in bare.columns:
        return pl.Series(column.name, [None] * bare.height, dtype=DTYPES[column.dtype])
    return parsed(bare[column.name], column).alias(column.name)


def _unread(table: CanonicalTable, column: Column, bare: pl.DataFrame, typed: pl.DataFrame) -> pl.Series | None:
    """Which values are there but not of the column's type, as `#unread:…`; None where all are.

    Raises ColumnError where most values are not.
    """
    raw, read = bare[column.name], typed[column.name]
    lost = read.null_count() - raw.null_count()
    if lost == 0:
        return None
    mask = (raw.is_not_null() & read.is_null()).alias(f"#unread:{column.name}")
    present = raw.len() - raw.null_count()
    if lost > RETYPED * present and present > 1:
        raise ColumnError(
            f"{table.name}.{column.name}: {lost:,} of {present:,} values are not {WORDS[column.dtype]} (the first: "
            f"{raw.filter(mask)[0]!r}); name the right column or unit in the mapping file."
        )
    return mask


def _looked_up(table: CanonicalTable, reference: Reference, others: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row a key of the referenced table: the key, `#found:…`, and the columns that rules name with a dot."""
    wanted = referred_columns(table, reference.table)
    target = canonical_table(reference.table)
    other = others.get(reference.table, pl.DataFrame(schema=target.schema))
    return (
        other.select(reference.column, *(pl.col(n).alias(f"{reference.table}.{n}") for n in wanted))
        .unique(reference.column, keep="last", maintain_order=True)
        .with_columns(pl.lit(True).alias(_found(reference)))
    )


def referred_columns(table: CanonicalTable, other: str) -> tuple[str, ...]:
    """The columns of the other table that this table's rules look at."""
    names = {name for rule in table.rules for name in rule.holds.meta.root_names()}
    return tuple(sorted(name.removeprefix(f"{other}.") for name in names if name.startswith(f"{other}.")))


def _found(reference: Reference) -> str:
    return f"#found:{reference.table}"


def _reasons(table: CanonicalTable, columns: Sequence[Column], there: Sequence[str]) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """Pairs of what is wrong with a row (never null) and the words for it."""
    for column in columns:
        yield from _value_reasons(column, f"#unread:{column.name}" in there)
    for rule in table.rules:
        names = dict.fromkeys(rule.holds.meta.root_names())
        shown = [_shown(pl.lit(f"{name} is "), pl.col(name)) for name in names]
        words = pl.concat_str([pl.lit(f"expected {rule.words}, but "), pl.concat_str(shown, separator=", ")])
        yield ~rule.holds.fill_null(True), words
    for reference in table.references:
        name = pl.col(reference.column)
        words = pl.format(f"no {reference.column} {{}} in {reference.table}", name)
        yield name.is_not_null() & pl.col(_found(reference)).is_null(), words


def _value_reasons(column: Column, unread: bool) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    value = pl.col(column.name)
    said = _shown(pl.lit(f"{column.name} is "), value)
    missing = value.is_null()
    if unread:
        mask = pl.col(f"#unread:{column.name}")
        missing = missing & ~mask
        yield mask, _shown(pl.lit(f"{column.name} is "), pl.col(f"#raw:{column.name}")) + f", expected {WORDS[column.dtype]}"
    if not column.optional:
        yield missing, pl.lit(f"{column.name} is empty")
    if column.low is not None:
        yield (value < column.low).fill_null(False), said + f", expected at least {column.low:g}"
    if column.high is not None:
        yield (value > column.high).fill_null(False), said + f", expected at most {column.high:g}"
    if column.levels:
        yield ~value.is_in(list(column.levels)).fill_null(True), said + f", expected one of {', '.join(column.levels)}"


def _shown(before: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.concat_str([before, value.cast(pl.String).fill_null("empty")])


def _set_apart(bare: pl.DataFrame, wide: pl.DataFrame, reasons: Sequence[tuple[pl.Expr, pl.Expr]]) -> pl.DataFrame:
    """The broken rows with all their reasons, joined by "; ", and their raw values as JSON."""
    raw = bare.drop(LINE)
    told = pl.concat_str([pl.when(bad).then(words) for bad, words in reasons], separator="; ", ignore_nulls=True)
    return (
        wide.with_columns(raw.rename({name: f"#raw:{name}" for name in raw.columns}))
        .select(pl.col(LINE).alias("line"), told.alias("reason"))
        .with_columns(raw.select(pl.struct(pl.all()).struct.json_encode().alias("row")))
    )
