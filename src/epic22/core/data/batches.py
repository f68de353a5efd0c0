"""Rows of a table that need not fit into memory: frames one after another, in the order of the file, never the whole.

Parquet files (a Delta table is several of them) and CSV, plain or gzipped. What a column holds is decided elsewhere
(`profile`): CSV comes as text, Parquet with its own types.
"""

import csv
import gzip
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from epic22.core.data.files import (
    GZIP,
    MAX_LINE_BYTES,
    PARQUET,
    SNIFFED_LINES,
    cast_to_plain_types,
    clean_column_names,
    describe_windows_1252,
    detect_quote,
    detect_separator,
    is_json,
    list_first_lines,
)
from epic22.core.data.table_lines import (
    SEEN_ROWS,
    count_footer_lines,
    describe_left_out,
    find_header,
    is_footer_line,
    is_unit_line,
)
from epic22.core.data.workbook import is_archive
from epic22.core.errors import FileError

BATCH_ROWS = 131_072
HEAD_BYTES = 1 << 20
MAX_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Batch:
    """Rows of a file as they are; `first` is the number of the first of them in `path`, counted from 0."""

    path: Path
    first: int
    frame: pl.DataFrame


class Batches(Protocol):
    """A table that is read as often as asked, and is the same each time."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its files."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns."""

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
    """The records of a CSV file as text, in blocks of bytes."""

    def __init__(self, path: Path, rows: int = BATCH_ROWS) -> None:
        self.paths, self.rows = (path,), rows
        head = _read_head(path)
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise FileError(f"{path} is no UTF-8, which is read whole; save it as UTF-8, or give a greater --memory-cap.")
        self.encoding = "utf8"
        whole_lines = head[: head.rfind(b"\n") + 1] or head
        try:
            text = whole_lines.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.encoding, text = "cp1252", whole_lines.decode("cp1252", errors="replace")
        self.separator = detect_separator(text)
        lines = list_first_lines(text)
        self.quote = detect_quote(lines, self.separator)
        self._refuse_blanks_before_quotes(path, lines)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator, quotechar=self.quote)
        first = [(reader.line_num, row) for row in itertools.islice(filter(None, reader), SNIFFED_LINES)]
        if not first:
            raise FileError(f"{path} holds blank lines only; expected a header line and rows.")
        self.title = [row for _, row in first[: find_header([row for _, row in first])]]
        # Blank lines between the title and the header are skipped with it.
        self.title_lines = first[len(self.title)][0] - 1 if self.title else 0
        self.footer: list[list[str]] = []
        self.names = tuple(clean_column_names(path, first[len(self.title)][1]))
        below = [row for _, row in first[len(self.title) + 1 :]]
        self.units = below[:1] if below and is_unit_line(below[0], below[1:]) else []
        self.encoding_notes = (describe_windows_1252(text),) if self.encoding == "cp1252" else ()
        # About as many bytes as this many rows have.
        width = max(1, len(whole_lines) // max(1, whole_lines.count(b"\n")))
        self.block = min(max(rows * width, MAX_LINE_BYTES if rows >= BATCH_ROWS else 1 << 16), MAX_BLOCK_BYTES)

    def __iter__(self) -> Iterator[Batch]:
        """The records; a broken one is named by its number below the header (blank lines do not count)."""
        import pyarrow as pa

        broken: list[tuple[int, int, int]] = []
        short: list[tuple[int, int, int]] = []
        self.footer = []
        first = 0
        try:
            for frame in self._drop_footer(self._iterate_records(broken, short)):
                yield Batch(self.paths[0], first, frame)
                first += frame.height
        except (pa.ArrowInvalid, OSError, UnicodeError) as error:
            raise self._build_error(broken, first, error) from None
        if not first:
            raise FileError(f"{self.paths[0]} has a header and no rows; there is nothing to learn from.")
        if short and short[0][0] <= first:
            raise self._build_error(short, first, ValueError())

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines above the header and below the rows."""
        return describe_left_out(self.title, self.footer, self.units) + self.encoding_notes

    def _refuse_blanks_before_quotes(self, path: Path, lines: Sequence[str]) -> None:
        """Raise FileError for quotes behind blanks, as in 1, "x, y": these quotes are seen only where a file is read whole."""
        strict, lenient = (
            [
                [cell.strip() for cell in row]
                for row in csv.reader(lines, delimiter=self.separator, quotechar=self.quote, skipinitialspace=is_lenient)
            ]
            for is_lenient in (False, True)
        )
        if strict != lenient:
            raise FileError(
                f"{path} has blanks before quotes, which is read whole; take them out, or give a greater --memory-cap."
            )

    def _drop_footer(self, records: Iterator[Any]) -> Iterator[pl.DataFrame]:
        """The frames that hold rows, the last without the lines below the table."""
        seen = last = pl.DataFrame()
        for arrow in records:
            if not arrow.num_rows:
                continue
            frame = pl.from_arrow(arrow)
            assert isinstance(frame, pl.DataFrame)
            if last.height:
                yield last
            seen, last = last.tail(SEEN_ROWS), frame
        rows = [list(row) for row in pl.concat([seen, last.tail(SEEN_ROWS)], how="diagonal").iter_rows()]
        n_footer = min(count_footer_lines(rows, len(self.names)), last.height)
        self.footer = [*rows[len(rows) - n_footer :], *self.footer]
        if last.height > n_footer:
            yield last.head(last.height - n_footer)

    def _build_error(self, broken: list[tuple[int, int, int]], first: int, error: Exception) -> FileError:
        path = self.paths[0]
        if broken:
            row, expected, actual = broken[0]
            return FileError(
                f"{path}, row {row - 1:,}: {actual} fields where the header has {expected}; "
                "mend the line, or quote a value that holds the separator."
            )
        if "straddling" in str(error):
            return FileError(
                f"{path}, after row {first:,}: a record longer than {self.block >> 10:,} KB; a line break or a closing quote is "
                "missing."
            )
        return FileError(
            f"{path}, after row {first:,}: {_format_error(error)}; save the file as UTF-8 and mend the quotes there."
        )

    def _iterate_records(self, broken: list[tuple[int, int, int]], short: list[tuple[int, int, int]]) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        def refuse(row: Any) -> str:
            fields = next(csv.reader([row.text], delimiter=self.separator, quotechar=self.quote), [])
            if is_footer_line(fields, len(self.names)):
                self.footer.append(fields)
                short.append((row.number - self.title_lines, row.expected_columns, row.actual_columns))
                return "skip"
            broken.append((row.number, row.expected_columns, row.actual_columns))
            return "error"

        with self.paths[0].open("rb") as begin:
            compression = "gzip" if begin.read(2) == GZIP else None
        with pa.input_stream(str(self.paths[0]), compression=compression) as stream:
            yield from arrow_csv.open_csv(
                stream,
                arrow_csv.ReadOptions(
                    use_threads=False,
                    block_size=self.block,
                    skip_rows=self.title_lines,
                    column_names=list(self.names),
                    skip_rows_after_names=1 + len(self.units),
                    encoding=self.encoding,
                ),
                arrow_csv.ParseOptions(
                    delimiter=self.separator, quote_char=self.quote, newlines_in_values=True, invalid_row_handler=refuse
                ),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(self.names, pa.string()), strings_can_be_null=False),
            )


def _format_error(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
