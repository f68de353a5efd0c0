"""Arrays into canonical tables: exact columns, types and order, sorted by key."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from epic22.core.tables.canonical import KNOWN_AT, MONEY, CanonicalTable, get_canonical_table
from epic22.simulator.calendar import Array


def ids(prefix: str, numbers: Array, width: int) -> pl.Series:
    """Text ids: a prefix and zero-padded numbers.

    >>> ids("P", np.array([1, 12]), 3).to_list()
    ['P001', 'P012']
    """
    return pl.Series(prefix + pl.Series(np.asarray(numbers, dtype="int64")).cast(pl.String).str.zfill(width))


def gather_names(names: pl.Series, at: Array, absent: Array | None = None) -> pl.Series:
    """The names at these places; null where `absent`."""
    places = pl.Series(np.asarray(at, dtype="int64"))
    if absent is not None:
        places = places.set(pl.Series(absent), None)
    return names.gather(places)


def money(cents: Array) -> pl.Series:
    """An exact decimal of whole cents.

    >>> money(np.array([12345, -5])).to_list()
    [Decimal('123.45'), Decimal('-0.05')]
    """
    return pl.Series(np.asarray(cents, dtype=float) / 100).round(2).cast(MONEY)


def decode_levels(levels: tuple[str, ...], codes: Array) -> pl.Series:
    """The level of each code."""
    return pl.Series(levels, dtype=pl.String).gather(pl.Series(np.asarray(codes, dtype="int64")))


def build_table(name: str, columns: Mapping[str, Any]) -> pl.DataFrame:
    """A canonical table of these columns, `known_at` among them; optional columns not given are null."""
    table = get_canonical_table(name)
    return conform(table, pl.DataFrame(dict(columns)))


def conform(table: CanonicalTable, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the table's columns, further ones it allows, in order, sorted by key and `known_at`."""
    schema = table.schema
    further = [c for c in frame.columns if c not in schema] if table.extra_columns else []
    order = [*(c for c in schema if c != KNOWN_AT), *further, KNOWN_AT]
    present = frame.with_columns(pl.lit(None, dtype=dtype).alias(c) for c, dtype in schema.items() if c not in frame.columns)
    return present.cast(pl.Schema(schema)).select(order).sort(*table.key, KNOWN_AT)
