"""Rows of a table that need not fit into memory: frames one after another, in the order of the file, never the whole.

Parquet files (a Delta table is several of them) and CSV, plain or gzipped. What a column holds is decided elsewhere
(`profile`): CSV comes as text, Parquet with its own types.
"""

import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import polars as pl

from epic22.core.data.csv_records import CHUNK_ROWS, MAX_LINE_BYTES, SNIFFED_LINES, CsvRecords
from epic22.core.data.files import (
    BYTE_ORDER_MARK,
    GZIP,
    HEAD_BYTES,
    PARQUET,
    build_long_line_error,
    cast_to_plain_types,
    clean_column_names,
    describe_windows_1252,
    detect_quote,
    detect_separator,
    find_encoding,
    is_json,
)
from epic22.core.data.workbook import is_archive
from epic22.core.errors import FileError

BATCH_ROWS = 131_072
MAX_BATCH_BYTES = 64 << 20


@dataclass(frozen=True)
class Batch:
    """Rows of a file as they are; `first` is the number of the first of them in `path`, counted from 0."""

    path: Path
    first: int
    frame: pl.DataFrame


@dataclass(frozen=True)
class RowLocator:
    """Where the rows of a batch stand in their file; `positions` are their places in the batch."""

    batch: Batch
    positions: pl.Series

    def describe_row(self, position: int) -> str:
        """The row at a position, for messages: counted from 1, without the header."""
        return f"row {self.batch.first + int(self.positions[position]) + 1:,} of {self.batch.path.name}"


class Batches(Protocol):
    """A table that is read as often as asked, and is the same each time."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the table."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the table, once it was read to its end."""

    def __iter__(self) -> Iterator[Batch]:
        """The rows from the first to the last. Raises FileError naming file and row where one is broken."""


def open_batches(path: Path, rows: int = BATCH_ROWS) -> Batches:
    """The batches of a Parquet or CSV file, about `rows` at a time.

    Raises FileError for what cannot be read a batch at a time.
    """
    head = _read_head(path)
    if head[:4] == PARQUET:
        return ParquetBatches((path,), rows)
    if is_json(path, head.decode("utf-8", errors="replace")):
        raise FileError(f"{path} is JSON, which is read whole; write it as Parquet, or give a greater --memory-cap.")
    return CsvBatches(path, rows)


BYTES_PER_VALUE = {"csv": 14, "gzip": 70, "parquet": 56}
"""Memory that the way through the whole table takes at its peak: of CSV a byte of the file, of Parquet a value.
Measured with 30 columns."""


def estimate_file_memory(path: Path) -> int:
    """About how many bytes of memory it takes to train on a file as a whole; 0 where it cannot be read in batches anyway."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic == PARQUET:
            stored = pq.ParquetFile(path).metadata
            return int(stored.num_rows * (stored.num_columns + 2) * BYTES_PER_VALUE["parquet"])
        if is_archive(magic) or is_json(path, magic.decode("utf-8", errors="replace")):
            return 0
        return path.stat().st_size * BYTES_PER_VALUE["gzip" if magic[:2] == GZIP else "csv"]
    except (OSError, pa.ArrowInvalid):
        return 0


def _read_head(path: Path) -> bytes:
    """The first bytes, unzipped. Raises FileError."""
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
        if head[:2] == GZIP:
            with gzip.open(path) as unzipped:
                head = unzipped.read(HEAD_BYTES)
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; check the name and the folder.") from None
    except (OSError, EOFError):
        raise FileError(f"{path} cannot be read, or is a damaged gzip file; check its permissions or fetch it again.") from None
    if not head:
        raise FileError(f"{path} is empty (0 bytes); expected a header line and rows.")
    return head


class ParquetBatches:
    """The row groups of Parquet files of one schema.

    Without `in_one_schema` whole decimals are integers or text as each batch has them, for those who read the one as the other.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, paths: tuple[Path, ...], rows: int = BATCH_ROWS, in_one_schema: bool = True) -> None:
        self.paths, self.rows, self.in_one_schema = paths, rows, in_one_schema
        schema = self._open(paths[0]).schema_arrow
        self.names = tuple(clean_column_names(paths[0], list(schema.names)))
        self.schema = cast_to_plain_types(paths[0], self._rename_columns(schema.empty_table())).schema

    def __iter__(self) -> Iterator[Batch]:
        """The rows, in the schema of the first file."""
        for path in self.paths:
            first = 0
            for frame in self._iterate_frames(path):
                yield Batch(path, first, frame)
                first += frame.height

    def _iterate_frames(self, path: Path) -> Iterator[pl.DataFrame]:
        import pyarrow as pa

        opened = self._open(path)
        row = 0
        try:
            # Without threads and read-ahead, what is held is one batch and its pages.
            for arrow in opened.iter_batches(batch_size=self.rows, use_threads=False):
                frame = cast_to_plain_types(path, self._rename_columns(arrow))
                row += frame.height
                yield frame.cast(self.schema) if self.in_one_schema else frame
        except (pa.ArrowInvalid, OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise FileError(
                f"{path}, after row {row:,}: damaged, truncated, or of another schema than {self.paths[0].name} "
                f"({_format_error(error)}); fetch it again."
            ) from None

    def _rename_columns(self, arrow: Any) -> pl.DataFrame:
        frame = pl.from_arrow(arrow)
        assert isinstance(frame, pl.DataFrame)
        return frame.rename(dict(zip(frame.columns, self.names, strict=True)))

    def _open(self, path: Path) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(path, pre_buffer=False, memory_map=False)
        except FileNotFoundError:
            raise FileError(f"{path}: no such file; the table names it, restore it from a backup.") from None
        except (pa.ArrowInvalid, OSError):
            raise FileError(f"{path} is a damaged or truncated Parquet file; fetch it again.") from None


class CsvBatches:
    """The records of a CSV file as text, read as those of a file that is read whole."""

    def __init__(self, path: Path, rows: int = BATCH_ROWS) -> None:
        self.paths = (path,)
        self.notes: tuple[str, ...] = ()
        self.encoding = find_encoding(path, lambda: _iterate_pieces(path))
        lines = list(itertools.islice(self._iterate_lines(), SNIFFED_LINES))
        self.separator = detect_separator("".join(lines))
        self.quote = detect_quote(lines, self.separator)
        self.names = tuple(clean_column_names(path, self._open_records().header))
        width = max(1, sum(map(len, lines)) // max(1, len(lines)))
        self.rows = max(1, min(rows, MAX_BATCH_BYTES // width))

    def __iter__(self) -> Iterator[Batch]:
        """The records; a broken one is named by its line."""
        records, first, parts = self._open_records(), 0, []
        for frame in records.iterate_frames(self.names, min(CHUNK_ROWS, self.rows)):
            parts.append(frame)
            if sum(part.height for part in parts) >= self.rows:
                yield Batch(self.paths[0], first, pl.concat(parts))
                first, parts = first + sum(part.height for part in parts), []
        self.notes = (*records.notes, *self._describe_encoding())
        if parts:
            yield Batch(self.paths[0], first, pl.concat(parts))

    def _open_records(self) -> CsvRecords:
        return CsvRecords(self.paths[0], self._iterate_lines, self.separator, self.quote)

    def _iterate_lines(self) -> Iterator[str]:
        """The lines with their ends. Raises FileError for one that is too long to be any."""
        path, number = self.paths[0], 0
        try:
            with _open_unzipped(path) as stream, io.TextIOWrapper(stream, self.encoding, newline="") as text:
                while line := text.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    line = line.lstrip(BYTE_ORDER_MARK) if number == 1 else line
                    if 4 * len(line) > MAX_LINE_BYTES and len(line.encode()) > MAX_LINE_BYTES:
                        raise build_long_line_error(path, number)
                    yield line
        except UnicodeDecodeError:
            raise FileError(f"{path} begins like {self.encoding.upper()} but is not; save it as UTF-8.") from None

    def _describe_encoding(self) -> tuple[str, ...]:
        if self.encoding != "cp1252":
            return ()
        return (describe_windows_1252(next((line for line in self._iterate_lines() if not line.isascii()), "")),)


def _iterate_pieces(path: Path) -> Iterator[bytes]:
    """The bytes, unzipped. Raises FileError where they cannot be read."""
    try:
        with _open_unzipped(path) as stream:
            while piece := stream.read(HEAD_BYTES):
                yield piece
    except (OSError, EOFError, zlib.error):
        raise FileError(f"{path} cannot be read, or is a damaged gzip file; check its permissions or fetch it again.") from None


def _open_unzipped(path: Path) -> BinaryIO:
    with path.open("rb") as begin:
        is_zipped = begin.read(len(GZIP)) == GZIP
    return cast(BinaryIO, gzip.open(path)) if is_zipped else path.open("rb")


def _format_error(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
