"""A mapping file: how the files or queries and columns of a foreign source become canonical tables. Declared in YAML, never code.

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
`width`, `format`, `decimal`, `values`, `unit`, `default`, `add`, `ago`. See docs/how-to/ingest-your-tables.md.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from epic22.core.errors import ColumnError, FileError
from epic22.core.tables.canonical import KNOWN_AT
from epic22.core.tables.condition import Condition
from epic22.core.tables.origin import Origin
from epic22.core.tables.parsing import parse_times
from epic22.core.tables.request import RequestOrigin
from epic22.core.tables.row_contract import BROKEN_COLUMN, LINE_COLUMN, TEXT_COLUMN
from epic22.core.text import find_near_names

UNITS: dict[str, tuple[float, float]] = {
    "percent": (0.0, 0.01),
    "fraction": (0.0, 1.0),
    "cents": (0.0, 0.01),
    "thousands": (0.0, 1000.0),
    "fahrenheit": (-32.0, 5 / 9),
}
"""Unit: what is added, then what is multiplied by, to get the canonical one (fraction, currency, °C)."""
DECIMAL_MARKS = (".", ",")
AGO = {"years": "y", "months": "mo", "days": "d", "hours": "h"}
MAX_AGO = {"years": 1_000, "months": 12_000, "days": 365_000, "hours": 8_760_000}
"""A thousand years: what is more is a mistake, and has no place in a calendar."""


@dataclass(frozen=True)
class ValueMapping:
    """Where a column's values come from and what is done with them; exactly one of `column`, `const` and `parts` is set.

    `format` is how times are written (%m/%d/%Y), `decimal` the mark of numbers written with others, as $1,450.00 is.
    `width` puts zeros before numbers that lost them.
    `values` replaces whole values, `otherwise` all others; `ago` (unit, column) takes this many units off a time.
    """

    column: str | None = None
    const: str | None = None
    parts: tuple["ValueMapping", ...] = ()
    separator: str = ""
    path: str | None = None
    width: int | None = None
    format: str | None = None
    decimal: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    otherwise: str | None = None
    unit: str | None = None
    default: str | None = None
    add: str | None = None
    ago: tuple[str, str] | None = None

    def source_columns(self) -> set[str]:
        """The source's columns that it reads."""
        own = {name for name in (self.column, self.ago[1] if self.ago else None) if name}
        return own.union(*(part.source_columns() for part in self.parts))

    def compute(self, frame: pl.DataFrame) -> pl.Series:
        """The values for the rows of a frame that has the columns."""
        values = self._read_origin(frame)
        if self.path is not None:
            values = values.cast(pl.String).str.json_path_match(self.path)
        if self.width is not None:
            values = values.cast(pl.String).str.strip_chars().str.zfill(self.width)
        if self.format is not None:
            values = _convert_times(values, self.format)
        if self.decimal is not None:
            values = _convert_numbers(values, self.decimal)
        if self.values or self.otherwise is not None:
            values = self._replace_values(values)
        if self.unit is not None:
            values = _convert_unit(values, *UNITS[self.unit])
        if self.default is not None:
            values = values.cast(pl.String).set(values.cast(pl.String) == "", None).fill_null(self.default)
        if self.add is not None:
            values = parse_times(values).dt.offset_by(self.add)
        if self.ago is not None:
            unit, column = self.ago
            count = frame[column].cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
            # What is no span of the past has no moment, and the row goes to quarantine where it needs one.
            count = count.set(~count.is_between(0, MAX_AGO[unit]), None)
            span = pl.concat_str([pl.lit("-"), pl.lit(count), pl.lit(AGO[unit])])
            values = pl.select(pl.lit(parse_times(values)).dt.offset_by(span)).to_series()
        return values

    def _read_origin(self, frame: pl.DataFrame) -> pl.Series:
        if self.column is not None:
            return frame[self.column]
        if self.parts:
            parts = [part.compute(frame).cast(pl.String).alias(str(n)) for n, part in enumerate(self.parts)]
            return pl.select(pl.concat_str([pl.lit(part) for part in parts], separator=self.separator)).to_series()
        return pl.select(pl.repeat(self.const, frame.height, dtype=pl.String)).to_series()

    def _replace_values(self, values: pl.Series) -> pl.Series:
        text = values.cast(pl.String).str.strip_chars()
        table = dict(self.values)
        if self.otherwise is None:
            return text.replace(list(table), list(table.values()))
        replaced = text.replace_strict(list(table), list(table.values()), default=self.otherwise, return_dtype=pl.String)
        return replaced.set(text.is_null(), None)


@dataclass(frozen=True)
class AntiJoin:
    """Rows are left out that are found in another file too; `on` pairs a column of the source with one of that file."""

    file: str
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Unpivot:
    """Columns that stand for periods or things become rows: those that fit the pattern, their names in `name`, cells in `value`.

    Of a pattern with a group the group's text is the name. An empty cell is no row.
    """

    pattern: str
    name: str
    value: str


@dataclass(frozen=True)
class SourceMap:
    """One source of a table: where its rows come from, and how their columns become the table's.

    `unpivot` comes first; `for_each` repeats every row for each of some values, under new column names.
    """

    origin: Origin
    columns: Mapping[str, ValueMapping]
    known_at: ValueMapping | None = None
    where: tuple[Condition, ...] = ()
    for_each: tuple[tuple[str, tuple[str, ...]], ...] = ()
    anti_join: AntiJoin | None = None
    unpivot: Unpivot | None = None

    @property
    def declared_units(self) -> frozenset[str]:
        """The columns whose unit is stated, of which none is to be found out."""
        return frozenset(name for name, value in self.columns.items() if value.unit is not None)

    def source_columns(self) -> set[str]:
        """The source's columns that it reads."""
        repeated = {name for name, _ in self.for_each}
        if self.unpivot is not None:
            repeated |= {self.unpivot.name, self.unpivot.value}
        values = [*self.columns.values(), *([self.known_at] if self.known_at else [])]
        read = {name for value in values for name in value.source_columns()} | {c.column for c in self.where}
        return (read | {own for own, _ in (self.anti_join.on if self.anti_join else ())}) - repeated


@dataclass(frozen=True)
class TableMapping:
    """What a mapping file says: the name of the source, and the sources of each canonical table, or one panel in their place.

    `quality` is the record of its checks as it stands there, None where there is none.
    """

    source: str
    tables: Mapping[str, tuple[SourceMap, ...]]
    panel: SourceMap | None = None
    quality: object = None

    @property
    def has_address(self) -> bool:
        """Whether it says itself where to ask for its rows."""
        sources = [source for listed in self.tables.values() for source in listed]
        return any(isinstance(source.origin, RequestOrigin) for source in [*sources, self.panel] if source is not None)


def map_rows(source: SourceMap, batch: pl.DataFrame, other_rows: pl.DataFrame | None = None) -> pl.DataFrame:
    """A batch of the source's rows as raw rows of the table, with `#line`. `other_rows`: the rows of the file named by `drop`.

    Raises ColumnError where the source lacks a column.
    """
    refuse_absent_columns(source.source_columns(), batch.columns)
    if source.unpivot is not None:
        batch = _unpivot_rows(source.unpivot, batch)
    rows = _filter_rows(source, batch, other_rows)
    for name, values in source.for_each:
        rows = rows.join(pl.DataFrame({name: list(values)}), how="cross", maintain_order="left")
    columns = [value.compute(rows).alias(name) for name, value in source.columns.items()]
    if source.known_at is not None:
        columns.append(source.known_at.compute(rows).alias(KNOWN_AT))
    return rows.select(LINE_COLUMN, *(name for name in (BROKEN_COLUMN, TEXT_COLUMN) if name in rows.columns)).hstack(columns)


def _unpivot_rows(unpivot: Unpivot, batch: pl.DataFrame) -> pl.DataFrame:
    """The rows, one for each cell that is not empty; lines that are none stay as they are."""
    matches = {name: match for name in batch.columns if not name.startswith("#") and (match := re.search(unpivot.pattern, name))}
    names = list(matches)
    if not names:
        listed = ", ".join([name for name in batch.columns if not name.startswith("#")][:20])
        raise ColumnError(f"no column fits {unpivot.pattern!r}, which the mapping file unpivots; there are {listed}.")
    others = [name for name in batch.columns if name not in names]
    rows = batch.unpivot(on=names, index=others, variable_name=unpivot.name, value_name=unpivot.value)
    short = {name: match[1] for name, match in matches.items() if match.re.groups and match[1] is not None}
    rows = rows.with_columns(pl.col(unpivot.name).replace(short))
    rows = rows.filter(pl.col(unpivot.value).cast(pl.String).str.strip_chars() != "").sort(LINE_COLUMN, maintain_order=True)
    if BROKEN_COLUMN not in batch.columns:
        return rows
    return pl.concat([rows, batch.filter(pl.col(BROKEN_COLUMN).is_not_null()).drop(names)], how="diagonal")


def _filter_rows(source: SourceMap, batch: pl.DataFrame, other_rows: pl.DataFrame | None) -> pl.DataFrame:
    conditions = [condition.expression() for condition in source.where]
    if conditions:
        is_selected = pl.all_horizontal(conditions)
        batch = batch.filter(is_selected | pl.col(BROKEN_COLUMN).is_not_null() if BROKEN_COLUMN in batch.columns else is_selected)
    if source.anti_join is None:
        return batch
    if other_rows is None:
        raise FileError(f"{source.anti_join.file}: its rows are needed to leave out those that are also in it.")
    own, other = [a for a, _ in source.anti_join.on], [b for _, b in source.anti_join.on]
    refuse_absent_columns(other, other_rows.columns, source.anti_join.file)
    keys = other_rows.select(pl.col(name).cast(pl.String) for name in other).unique()
    return batch.join(keys, left_on=[pl.col(n).cast(pl.String) for n in own], right_on=other, how="anti", maintain_order="left")


def refuse_absent_columns(names: Iterable[str], there: Sequence[str], file: str = "") -> None:
    """Raises ColumnError for a name that is not among the columns `there`, with the nearest of them."""
    for name in sorted(names):
        if name not in there:
            listed = ", ".join(n for n in there if not n.startswith("#"))
            place = f"{file} has no" if file else "no"
            raise ColumnError(
                f"{place} column {name}{suggest_name(name, there)}, which the mapping file names; there are {listed}."
            )


def suggest_name(name: str, names: Iterable[str]) -> str:
    """A hint at the nearest name, or nothing.

    >>> suggest_name("bedroms", ["bathrooms", "bedrooms"])
    ' (did you mean bedrooms?)'
    """
    near = find_near_names(name, names)
    return f" (did you mean {near[0]}?)" if near else ""


def _convert_times(values: pl.Series, form: str) -> pl.Series:
    """Times of a format as ISO text; what does not fit stays as it is, for the check to name it."""
    text = values.cast(pl.String).str.strip_chars()
    return text.str.to_datetime(form, strict=False, time_unit="us").dt.strftime("%Y-%m-%dT%H:%M:%S").fill_null(text)


def _convert_numbers(values: pl.Series, mark: str) -> pl.Series:
    """Numbers without currency, unit and marks of thousands; what is not one number stays as it is, for the check to name it.

    Of a source with types, numbers have no marks. A number with another decimal mark is said to be none, for the check would
    take 1.23 for one.
    """
    if values.dtype.is_numeric():
        return values
    text = values.cast(pl.String).str.strip_chars().str.replace_all(r"[\u2212\u2013\u2014]", "-")
    parts = text.str.replace(r"([0-9][.,])--?", "$1").str.extract_groups(_build_amount(mark)).struct.unnest()
    number = parts["whole"].str.replace_all("[^0-9]", "") + "." + parts["part"].fill_null("0")
    is_negative = parts["sign"].is_not_null() | parts["behind"].is_not_null() | parts["open"].is_not_null()
    signed = pl.select(pl.when(is_negative).then("-" + number).otherwise(number)).to_series()
    is_odd = (parts["open"].is_null() != parts["close"].is_null()) | parts["unit"].str.contains(SCALE).fill_null(value=False)
    signed = signed.set(is_odd, None)
    raw = values.cast(pl.String)
    has_other_mark = signed.is_null() & text.cast(pl.Float64, strict=False).is_not_null() & (mark != ".")
    return signed.fill_null(raw.zip_with(~has_other_mark.fill_null(value=False), raw + f" (its decimal mark is no {mark!r})"))


SCALE = r"^(?:[kK]|M|Mio|mio|Mrd|mrd|bn|million)\.?$"
"""Units that multiply: such numbers are not taken, for what is meant is not stated."""


def _build_amount(mark: str) -> str:
    """The pattern of one number, with a sign or in brackets, between a currency and a unit that hold no digits but m2's."""
    marks = r"[.,'’ \u00a0\u2009\u202f]".replace(mark, "")
    groups = rf"[0-9]{{1,3}}(?:{marks}[0-9]{{3}})+" + (r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}" if mark == "." else "")
    return (
        r"^(?P<open>\()?\s*(?:[^0-9()-]*(?:[^0-9()., -]|\.\s))?\s*(?P<sign>-)?\s*(?:\p{Sc}|[A-Z]{3})?\s*"
        rf"(?P<whole>{groups}|[0-9]+)(?:{re.escape(mark)}(?P<part>[0-9]+)?)?\s*"
        r"(?P<unit>(?:\p{L}[23]|[^0-9()-])*?)\s*(?P<behind>-)?(?P<close>\))?$"
    )


def _convert_unit(values: pl.Series, offset: float, factor: float) -> pl.Series:
    """In the canonical unit; what is no number stays as it is, for the check to name it."""
    numbers = (
        (values.cast(pl.Float64, strict=False) + offset) * factor
        if factor != 0.01
        else values.cast(pl.Float64, strict=False) / 100
    )
    if values.dtype != pl.String:
        return numbers
    return numbers.cast(pl.String).fill_null(values)
