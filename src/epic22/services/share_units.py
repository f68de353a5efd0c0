"""The units in which an ingest's columns of shares come, by what they are and by the versions before."""

from collections.abc import Container, Mapping

import polars as pl

from epic22.core.ports import LakeTransaction, Source
from epic22.core.tables.shares import (
    ShareUnit,
    StoredShares,
    decide_share_unit,
    describe_shares,
    list_share_columns,
    read_shares,
)


def decide_units(
    transaction: LakeTransaction, source: Source, batch: pl.DataFrame, decided: Container[str]
) -> Mapping[str, ShareUnit]:
    """The units of columns that have values in this batch, are not `decided` yet and not stated by a mapping.

    They are kept with the version. Raises ColumnError where they cannot be told.
    """
    units: dict[str, ShareUnit] = {}
    for column in list_share_columns(source.table, batch.columns):
        values = read_shares(batch[column.name], column)
        if column.name in decided or column.name in source.declared_units or values.is_empty():
            continue
        place = f"{source.table.name}.{column.name}"
        stored = transaction.shares.get(place) or _read_stored_shares(transaction, source.table.name, column.name)
        unit = decide_share_unit(place, values, stored)
        units[column.name] = unit
        transaction.note_shares(place, describe_shares(values, unit).widen(stored))
    return units


def _read_stored_shares(transaction: LakeTransaction, table: str, column: str) -> StoredShares | None:
    """What is stored of a column whose unit no version kept; None where that is nothing."""
    values = transaction.scan_stored(table).select(column).drop_nulls().collect().to_series()
    return None if values.is_empty() else describe_shares(values, None)
