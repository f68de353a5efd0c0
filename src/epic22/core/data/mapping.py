"""A mapping file: how the files and columns of a foreign source become canonical tables. Declared in YAML, never code.

    source: landlord_export
    tables:
      leases:
        file: contracts.csv
        known_at: signedDate
        where: {status: {not_in: [DRAFT]}}
        columns:
          lease_id: id
          monthly_rent: {from: rentCents, unit: cents}
          lease_type: {const: fixed}

A value is a column's name, or a record with one origin (`from`, `const`, `join`) and what is done with it, in this order: `path`,
`values`, `unit`, `default`, `add`, `ago`. See docs/how-to/ingest-your-tables.md.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from epic22.core.data.canonical import KNOWN_AT
from epic22.core.data.check import BROKEN, LINE, TEXT
from epic22.core.data.parsing import times
from epic22.core.errors import ColumnError, FileError

UNITS: dict[str, tuple[float, float]] = {
    "percent": (0.0, 0.01),
    "cents": (0.0, 0.01),
    "thousands": (0.0, 1000.0),
    "fahrenheit": (-32.0, 5 / 9),
}
"""Unit: what is added, then what is multiplied by, to get the canonical one (fraction, currency, °C)."""
AGO = {"years": "y", "months": "mo", "days": "d", "hours": "h"}


@dataclass(frozen=True)
class Value:
    """Where a column's values come from and what is done with them; exactly one of `column`, `const` and `parts` is set.

    `values` replaces whole values, `otherwise` all others; `ago` (unit, column) takes so many units off a time.
    """

    column: str | None = None
    const: str | None = None
    parts: tuple["Value", ...] = ()
    separator: str = ""
    path: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    otherwise: str | None = None
    unit: str | None = None
    default: str | None = None
    add: str | None = None
    ago: tuple[str, str] | None = None

    def names(self) -> set[str]:
        """The source's columns that it reads."""
        own = {name for name in (self.column, self.ago[1] if self.ago else None) if name}
        return own.union(*(part.names() for part in self.parts))

    def of(self, frame: pl.DataFrame) -> pl.Series:
        """The values for the rows of a frame that has the columns."""
        made = self._origin(frame)
        if self.path is not None:
            made = made.cast(pl.String).str.json_path_match(self.path)
        if self.values or self.otherwise is not None:
            made = self._replaced(made)
        if self.unit is not None:
            made = _converted(made, *UNITS[self.unit])
        if self.default is not None:
            made = made.cast(pl.String).set(made.cast(pl.String) == "", None).fill_null(self.default)
        if self.add is not None:
            made = times(made).dt.offset_by(self.add)
        if self.ago is not None:
            unit, column = self.ago
            count = frame[column].cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
            span = pl.concat_str([pl.lit("-"), pl.lit(count), pl.lit(AGO[unit])])
            made = pl.select(pl.lit(times(made)).dt.offset_by(span)).to_series()
        return made

    def _origin(self, frame: pl.DataFrame) -> pl.Series:
        if self.column is not None:
            return frame[self.column]
        if self.parts:
            parts = [part.of(frame).cast(pl.String).alias(str(n)) for n, part in enumerate(self.parts)]
            return pl.select(pl.concat_str([pl.lit(part) for part in parts], separator=self.separator)).to_series()
        return pl.select(pl.repeat(self.const, frame.height, dtype=pl.String)).to_series()

    def _replaced(self, made: pl.Series) -> pl.Series:
        text = made.cast(pl.String).str.strip_chars()
        table = dict(self.values)
        if self.otherwise is None:
            return text.replace(list(table), list(table.values()))
        replaced = text.replace_strict(list(table), list(table.values()), default=self.otherwise, return_dtype=pl.String)
        return replaced.set(text.is_null(), None)


@dataclass(frozen=True)
class Condition:
    """Which rows are taken: those whose column, as text, passes the test: equals, not_equals, in, not_in, is_null."""

    column: str
    test: str
    operand: tuple[str, ...]

    def expression(self) -> pl.Expr:
        """True where the row is taken; null counts as a value of its own."""
        value = pl.col(self.column).cast(pl.String).str.strip_chars()
        if self.test == "is_null":
            return value.is_null() if self.operand == ("true",) else value.is_not_null()
        inside = value.is_in(list(self.operand)).fill_null(False)
        return inside if self.test in ("equals", "in") else ~inside


@dataclass(frozen=True)
class AlsoIn:
    """Rows are left out that are found in another file too; `on` pairs a column of the source with one of that file."""

    file: str
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SourceMap:
    """One source of a table: its files (names or patterns), and how their columns become the table's.

    `for_each` repeats every row for each of some values, under new column names.
    """

    files: tuple[str, ...]
    columns: Mapping[str, Value]
    known_at: Value | None = None
    where: tuple[Condition, ...] = ()
    for_each: tuple[tuple[str, tuple[str, ...]], ...] = ()
    drop: AlsoIn | None = None

    def names(self) -> set[str]:
        """The source's columns that it reads."""
        repeated = {name for name, _ in self.for_each}
        values = [*self.columns.values(), *([self.known_at] if self.known_at else [])]
        read = {name for value in values for name in value.names()} | {c.column for c in self.where}
        return (read | {own for own, _ in (self.drop.on if self.drop else ())}) - repeated


@dataclass(frozen=True)
class TableMapping:
    """What a mapping file says: the name of the source, and the sources of each canonical table."""

    source: str
    tables: Mapping[str, tuple[SourceMap, ...]]


def mapped(source: SourceMap, batch: pl.DataFrame, also: pl.DataFrame | None = None) -> pl.DataFrame:
    """A batch of the source's rows as raw rows of the table, with `#line`. `also`: the rows of the file named by `drop`.

    Raises ColumnError where the source lacks a column.
    """
    _refuse_absent(source.names(), batch.columns)
    rows = _selected(source, batch, also)
    for name, values in source.for_each:
        rows = rows.join(pl.DataFrame({name: list(values)}), how="cross", maintain_order="left")
    made = [value.of(rows).alias(name) for name, value in source.columns.items()]
    if source.known_at is not None:
        made.append(source.known_at.of(rows).alias(KNOWN_AT))
    return rows.select(LINE, *(name for name in (BROKEN, TEXT) if name in rows.columns)).hstack(made)


def _selected(source: SourceMap, batch: pl.DataFrame, also: pl.DataFrame | None) -> pl.DataFrame:
    kept = [condition.expression() for condition in source.where]
    if kept:
        whole = pl.all_horizontal(kept)
        batch = batch.filter(whole | pl.col(BROKEN).is_not_null() if BROKEN in batch.columns else whole)
    if source.drop is None:
        return batch
    if also is None:
        raise FileError(f"{source.drop.file}: its rows are needed to leave out those that are also in it.")
    own, other = [a for a, _ in source.drop.on], [b for _, b in source.drop.on]
    _refuse_absent(other, also.columns, source.drop.file)
    keys = also.select(pl.col(name).cast(pl.String) for name in other).unique()
    return batch.join(keys, left_on=[pl.col(n).cast(pl.String) for n in own], right_on=other, how="anti", maintain_order="left")


def _refuse_absent(names: Iterable[str], there: Sequence[str], file: str = "") -> None:
    for name in sorted(names):
        if name not in there:
            shown = ", ".join(n for n in there if not n.startswith("#"))
            place = f"{file} has no" if file else "no"
            raise ColumnError(f"{place} column {name}{near(name, there)}, which the mapping file names; there are {shown}.")


def near(name: str, names: Iterable[str]) -> str:
    """A hint at the nearest name, or nothing.

    >>> near("bedroms", ["bathrooms", "bedrooms"])
    ' (did you mean bedrooms?)'
    """
    folded = {other.lower(): other for other in names}
    found = difflib.get_close_matches(name.lower(), list(folded), n=1)
    return f" (did you mean {folded[found[0]]}?)" if found else ""


def _converted(made: pl.Series, plus: float, times_: float) -> pl.Series:
    """In the canonical unit; what is no number stays as it is, for the check to name it."""
    numbers = (
        (made.cast(pl.Float64, strict=False) + plus) * times_ if times_ != 0.01 else made.cast(pl.Float64, strict=False) / 100
    )
    if made.dtype != pl.String:
        return numbers
    return numbers.cast(pl.String).fill_null(made)
