"""Parquet that a kill or a disk left damaged: what reading it raises, and its rows or a sentence that names the file."""

import io
from collections.abc import Sequence

import polars as pl

from epic22.core.errors import StorageError

PARQUET_FAULTS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading damaged Parquet raises: of some damage the library panics."""


def read_parquet(content: bytes | None, place: str, columns: Sequence[str] | pl.Expr | None = None) -> pl.DataFrame:
    """The rows of a file of ours, all columns where None. Raises StorageError, with its place, where they cannot be read."""
    try:
        rows = pl.scan_parquet(io.BytesIO(content or b""))
        return (rows if columns is None else rows.select(columns)).collect()
    except PARQUET_FAULTS:
        raise StorageError(
            f"{place}: damaged, its rows cannot be read; restore it from a backup, or remove it where it is left over from a run "
            "that was killed."
        ) from None
