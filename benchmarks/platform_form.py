"""A form of the platform's own database: its tables, their rows made from a portfolio, and what an ingest of them must give."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl
import psycopg

from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, get_canonical_table

NAMESPACE = uuid.UUID("5f1d7c1e-22aa-4f7e-9d3b-0b9a1c4e2200")


@dataclass(frozen=True)
class PlatformForm:
    """`ddl` makes the tables, `rows` are theirs by name, and `expected` the canonical tables that an ingest of them gives."""

    mapping: str
    ddl: str
    rows: Mapping[str, pl.DataFrame]
    expected: Mapping[str, pl.DataFrame]


def fill_database(address: str, form: PlatformForm) -> None:
    """Make the form's tables in an empty PostgreSQL database and write its rows into them."""
    with psycopg.connect(address) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(form.ddl.encode())
        for name, frame in form.rows.items():
            columns = ", ".join(f'"{column}"' for column in frame.columns)
            copy_text = f'COPY "{name}" ({columns}) FROM STDIN (FORMAT csv)'
            with connection.cursor() as cursor, cursor.copy(copy_text.encode()) as copy:
                copy.write(frame.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.f"))


def compare_table(expected: pl.DataFrame, stored: pl.DataFrame, name: str) -> dict[str, object]:
    """The rows that went in and came out, and the columns with an unequal value, each with one pair of values."""
    table = get_canonical_table(name)
    columns = [*(column.name for column in table.columns), KNOWN_AT]
    left, right = (frame.select(columns).sort(table.key) for frame in (expected, stored))
    unequal: dict[str, list[str]] = {}
    if left.height == right.height:
        for column in columns:
            differs = ~left[column].eq_missing(right[column])
            if differs.any():
                unequal[column] = [str(side[column].filter(differs)[0]) for side in (left, right)]
    return {"rows_in": left.height, "rows_out": right.height, "unequal": unequal}


def shape_table(name: str, values: Mapping[str, pl.Expr], source: pl.DataFrame) -> pl.DataFrame:
    """The canonical table of these columns, the others null, each in its stored type."""
    schema = get_canonical_table(name).schema
    own = [values.get(column, pl.lit(None)).cast(dtype).alias(column) for column, dtype in schema.items()]
    return source.select(own)


def list_absent_tables(present: Iterable[str]) -> dict[str, pl.DataFrame]:
    """The canonical tables that a form cannot give, without rows."""
    return {table.name: pl.DataFrame(schema=table.schema) for table in CANONICAL if table.name not in present}


def make_uuid(key: str | None) -> str | None:
    """The UUID that stands for a key of the portfolio."""
    return None if key is None else str(uuid.uuid5(NAMESPACE, key))


def make_cuid(key: str | None) -> str | None:
    """The cuid that stands for a key of the portfolio: c and 24 letters and digits."""
    if key is None:
        return None
    number, letters = int.from_bytes(hashlib.sha256(key.encode()).digest()), ""
    while len(letters) < 24:
        number, place = divmod(number, 36)
        letters += "0123456789abcdefghijklmnopqrstuvwxyz"[place]
    return f"c{letters}"


def rename_keys(values: pl.Series, make: object) -> pl.Series:
    """The keys as the platform writes them."""
    assert callable(make)
    names = {key: make(key) for key in values.unique().to_list()}
    return values.replace_strict(names, return_dtype=pl.String)


def keep_last_versions(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Each row as it stands at the end: the platform overwrites in place."""
    keys = {table.name: table.key for table in CANONICAL}
    return {
        name: frame.sort(KNOWN_AT, maintain_order=True).unique(keys[name], keep="last", maintain_order=True).sort(keys[name])
        for name, frame in tables.items()
    }
