"""The rows of a file for a trained task a batch at a time: of Parquet no more than a batch is in memory."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from epic22.core.data.batches import ParquetBatches
from epic22.core.data.files import PARQUET, RawTable
from epic22.core.data.schema_inference import conform_frame
from epic22.core.errors import FileError
from epic22.core.task import Column
from epic22.spec.flat_file import MAX_SHOWN_LEVELS, describe_unseen_levels, read_rows


def read_row_batches(
    path: Path, columns: tuple[Column, ...], n_at_once: int, note: Callable[[str], None] = lambda text: None
) -> Iterator[pl.DataFrame]:
    """A file's rows in the types of these columns, so many at a time; another format than Parquet is read whole.

    `note` hears at the end of categories that training never saw. Raises FileError, ColumnError, RowError, which names the row of
    the file.
    """
    if not _is_parquet(path):
        yield from read_rows(path, columns, note).iter_slices(n_at_once)
        return
    unseen, n_rows = UnseenLevels(columns), 0
    for batch in ParquetBatches((path,), n_at_once):
        frame = conform_frame(RawTable(str(path), batch.frame, "", "parquet", None, None, first=batch.first), columns)
        unseen.add(frame)
        n_rows += frame.height
        yield frame
    if not n_rows:
        raise FileError(f"{path} has no rows; there is nothing to predict.")
    for text in unseen.describe():
        note(f"{path.name}: {text}")


class UnseenLevels:
    """Categories that training never saw, counted as rows come."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._columns = {one.name: one for one in columns if one.role == "input" and one.dtype == "category" and one.levels}
        self._counts: dict[str, Counter[str]] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Count those of some rows."""
        for name, column in self._columns.items():
            if name in frame.columns:
                values = frame[name].drop_nulls()
                odd = values.filter(~values.is_in(list(column.levels)))
                if len(odd):
                    self._counts.setdefault(name, Counter()).update(dict(odd.value_counts().iter_rows()))

    def describe(self) -> Iterator[str]:
        """A sentence for each column that has some."""
        for name, counts in self._counts.items():
            shown = ", ".join(repr(level[:100]) for level in list(counts)[:MAX_SHOWN_LEVELS])
            yield describe_unseen_levels(self._columns[name], counts.total(), shown)


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
