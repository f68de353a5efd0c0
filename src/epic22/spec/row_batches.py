"""The rows of a file for a trained task a batch at a time: of Parquet no more than a batch is in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from epic22.core.data.batches import ParquetBatches
from epic22.core.data.files import PARQUET, RawTable
from epic22.core.data.schema_inference import conform_frame
from epic22.core.errors import FileError
from epic22.core.task import Column
from epic22.spec.flat_file import read_rows
from epic22.spec.row_notes import RowNotes


def read_row_batches(
    path: Path, columns: tuple[Column, ...], n_at_once: int, note: Callable[[str], None] = lambda text: None
) -> Iterator[pl.DataFrame]:
    """A file's rows in the types of these columns, so many at a time; another format than Parquet is read whole.

    `note` hears at the end what `read_rows` tells of a whole file. Raises FileError, ColumnError, and RowError, which names the
    row of the file.
    """
    if not _is_parquet(path):
        yield from read_rows(path, columns, note).iter_slices(n_at_once)
        return
    notes, n_rows = RowNotes(columns), 0
    for batch in ParquetBatches((path,), n_at_once, in_one_schema=False):
        frame = conform_frame(RawTable(str(path), batch.frame, "", "parquet", None, None, first=batch.first), columns)
        notes.add(batch.frame, frame)
        n_rows += frame.height
        yield frame
    if not n_rows:
        raise FileError(f"{path} has no rows; there is nothing to predict.")
    for text in notes.describe():
        note(f"{path.name}: {text}")


def count_parquet_rows(path: Path) -> int | None:
    """How many rows a Parquet file has; None for another."""
    if not _is_parquet(path):
        return None
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError:
        return None


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(PARQUET)) == PARQUET
    except OSError:
        # Whoever reads it says what is wrong with it.
        return False
