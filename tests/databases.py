"""Databases of a foreign company with the small portfolio in them, and the mapping files that ask for it."""

import sqlite3
import uuid
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import polars as pl
import psycopg
import yaml

from tests.postgres import database_url


def create_database() -> str:
    """The address of a new, empty PostgreSQL database, or skip."""
    server, name = database_url(), f"erp_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")


def fill_postgres(url: str, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write tables under their own names, each column in the type that fits its values."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, frame in tables.items():
            columns = ", ".join(f'"{column}" {_postgres_type(dtype)}' for column, dtype in frame.schema.items())
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            with connection.cursor() as cursor, cursor.copy(f'COPY "{name}" FROM STDIN (FORMAT csv)') as copy:
                copy.write(frame.write_csv(include_header=False))


def _postgres_type(dtype: pl.DataType) -> str:
    if dtype.is_float():
        return "float8"
    if dtype.is_integer():
        return "bigint"
    return "numeric" if dtype.is_decimal() else "timestamptz" if dtype.is_temporal() else "text"


def fill_sqlite(path: Path, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write tables under their own names; numbers as numbers, all else as text."""
    with closing(sqlite3.connect(path)) as database, database:
        for name, frame in tables.items():
            plain = frame.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%d %H:%M:%S"), pl.col(pl.Decimal).cast(pl.Float64))
            database.execute(f'CREATE TABLE "{name}" ({", ".join(frame.columns)})')
            database.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * frame.width)})', plain.rows())


def write_query_mapping(path: Path, tables: Mapping[str, pl.DataFrame], **sources: Mapping[str, object]) -> Path:
    """A mapping that asks for whole tables under their own names; `sources` says more of some, by table."""
    content = {
        name: {"query": f'SELECT * FROM "{name}"', "columns": {column: column for column in frame.columns}}
        | dict(sources.get(name, {}))
        for name, frame in tables.items()
    }
    path.write_text(yaml.safe_dump({"source": "erp", "tables": content}, sort_keys=False))
    return path
