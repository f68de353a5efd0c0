"""The records of a CSV file, one after another, for a file that is read whole and for one that is read a batch at a time.

What stands above the header and below the rows is none of the table, and neither are lines that repeat the header.
"""

import csv
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from epic22.core.data.table_lines import (
    MAX_FOOTER_LINES,
    SEEN_ROWS,
    count_footer_lines,
    describe_left_out,
    find_header,
    find_width,
    is_unit_line,
    trim_row,
)
from epic22.core.errors import FileError

MAX_LINE_BYTES = 16 * 2**20
"""A line longer than this is taken for damage."""

SNIFFED_LINES = 50
CHUNK_ROWS = 8192
"""Rows that are held as Python's texts at once."""

N_WAITING = SEEN_ROWS + MAX_FOOTER_LINES
"""Rows that wait until it is known whether they are the last."""

TEXT_FORMULA = '="'
"""How ="007" begins: so spreadsheets are told that a cell is text."""


class _Lines:
    """Lines one after another, of which some may be put back."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self._put_back = lines, deque[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._put_back.popleft() if self._put_back else next(self._lines)

    def take(self, n: int) -> list[str]:
        """The next lines, at most so many."""
        return list(itertools.islice(self, n))

    def put_back(self, lines: Sequence[str]) -> None:
        """Let these lines, the last that were taken, come again."""
        self._put_back.extendleft(reversed(lines))


Part = list[list[str]] | pl.DataFrame


class TableRecords:
    """The records below the header of a table, read once from the first to the last; each comes with the number of its line.

    `title` are the lines above the header, `units` those below it that hold units, `footer` those below the rows; the last is
    known at the end. Raises FileError for a table without records, or a ragged one.
    """

    def __init__(self, path: Path, open_records: Callable[[], Iterator[tuple[int, list[str]]]]) -> None:
        self.path, self._open_records = path, open_records
        self._records = open_records()
        head = list(itertools.islice(self._records, SNIFFED_LINES))
        if not head:
            raise FileError(f"{path} holds blank lines only; expected a header line and rows.")
        n_title = find_header([row for _, row in head])
        self.title, self._head = [row for _, row in head[:n_title]], head[n_title + 1 :]
        self.header = list(trim_row(head[n_title][1], find_width([row for _, row in head])))
        self.units: list[list[str]] = []
        self.footer: list[list[str]] = []
        self.n_headers = 0
        self._n_rows = 0
        # The place among the rows, and the message, of the first line that has another number of fields than the header.
        self._ragged: tuple[int, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes on lines that are none of the table, once all are read."""
        notes = describe_left_out(self.title, self.footer, self.units)
        repeated = "row that repeats" if self.n_headers == 1 else "rows that repeat"
        return (*notes, f"{self.n_headers:,} {repeated} the header left out.") if self.n_headers else notes

    def iterate_rows(self) -> Iterator[list[str]]:
        """The rows, each as many cells as there are columns."""
        for part in self._iterate_parts((), CHUNK_ROWS):
            assert isinstance(part, list)
            yield from part

    def _iterate_parts(self, names: Sequence[str], n_at_once: int) -> Iterator[Part]:
        """The rows, about so many at a time, the last without the lines below the table."""
        rows = self._iterate_records()
        pending = list(itertools.islice(rows, SEEN_ROWS + 1))
        if pending and (self._ragged is None or self._ragged[0] > 0) and is_unit_line(pending[0], pending[1:]):
            self.units = [pending.pop(0)]
        n_given = len(self.units)
        while True:
            plain = self._read_plain_lines(names, n_at_once)
            chunk = list(itertools.islice(rows, n_at_once)) if plain is None else []
            if plain is None and not chunk:
                break
            # As many rows as tell what stands below the table wait for what follows.
            n_sure = max(0, len(pending) + len(chunk) - N_WAITING) if plain is None else len(pending)
            pending += chunk if plain is None else [list(row) for row in plain.tail(N_WAITING).iter_rows()]
            self._refuse_ragged(n_given + n_sure)
            if n_sure:
                yield pending[:n_sure]
            if plain is not None and plain.height > N_WAITING:
                yield plain.head(plain.height - N_WAITING)
                n_given += plain.height - N_WAITING
            del pending[:n_sure]
            n_given += n_sure
        n_rows = len(pending) - count_footer_lines(pending, len(self.header), lambda: self._read_again(n_given))
        self.footer = pending[n_rows:]
        self._refuse_ragged(n_given + n_rows)
        if n_given + n_rows == len(self.units):
            raise FileError(f"{self.path} has a header and no rows; there is nothing to learn from.")
        if n_rows:
            yield pending[:n_rows]

    def _read_plain_lines(self, names: Sequence[str], n_lines: int) -> pl.DataFrame | None:
        """The next rows as a frame, where they can be read at once; else None, and they are still to be read."""
        return None

    def _read_again(self, n_rows: int) -> Iterator[list[str]]:
        """The first so many rows, without that of units."""
        again = TableRecords(self.path, self._open_records)
        return itertools.islice(again._iterate_records(), len(self.units), n_rows)

    def _iterate_records(self) -> Iterator[list[str]]:
        """The records below the header but for those that repeat it."""
        width = len(self.header)
        for line, row in itertools.chain(self._head, self._records):
            # A separator at the end of each row, which the header lacks, parts nothing.
            while len(row) > width and not row[-1].strip():
                row.pop()
            if row == self.header and width > 1:
                self.n_headers += 1
                continue
            if len(row) != width and self._ragged is None:
                self._ragged = self._n_rows, f"line {line}: {len(row)} fields where the header has {width}"
            self._n_rows += 1
            yield row

    def _refuse_ragged(self, n_rows: int) -> None:
        """Raise FileError where one of the first so many rows has another number of fields than the header."""
        if self._ragged is not None and self._ragged[0] < n_rows:
            raise FileError(f"{self.path}, {self._ragged[1]}; mend the line, or quote a value that holds the separator.")


class CsvRecords(TableRecords):
    """The records of a CSV text. Raises FileError for broken quotes too."""

    def __init__(self, path: Path, open_lines: Callable[[], Iterable[str]], separator: str, quote: str) -> None:
        # The csv module refuses fields over 128 KB unless told, for the whole process.
        csv.field_size_limit(MAX_LINE_BYTES)
        self._separator, self._quote, self._n_plain_lines = separator, quote, 0
        self._lines = _Lines(iter(open_lines()))
        opened = [self._lines]
        super().__init__(path, lambda: self._parse(opened.pop() if opened else _Lines(iter(open_lines()))))

    def iterate_frames(self, names: Sequence[str], n_at_once: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
        """The rows as text under these names, about so many at a time."""
        for part in self._iterate_parts(names, n_at_once):
            frame = part if isinstance(part, pl.DataFrame) else _build_frame(names, part)
            yield pl.DataFrame([unwrap_formulas(series) for series in frame])

    def _parse(self, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
        """The records that are not blank, with the number of the line that each ends in."""
        # A quote behind a blank, as in 1, "x, y", is one too.
        reader = csv.reader(lines, delimiter=self._separator, quotechar=self._quote, skipinitialspace=True, strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num + self._n_plain_lines, row
        except csv.Error as error:
            line = reader.line_num + self._n_plain_lines
            raise FileError(f"{self.path}, line {line}: {error}; mend the quotes there.") from None

    def _read_plain_lines(self, names: Sequence[str], n_lines: int) -> pl.DataFrame | None:
        """The next lines as a frame, read at once; None where they are few, or a line may be no plain record: then they are
        still to be read."""
        lines, width = self._lines.take(n_lines), len(self.header)
        text = "".join(lines).replace("\r\n", "\n")
        separator, odd = self._separator, (self._quote, "\r", f"{self._separator} ", "\n ", "\n\n")
        is_odd = width == 1 or len(lines) < N_WAITING or text.startswith((" ", "\n")) or any(sign in text for sign in odd)
        frame = None
        if not is_odd and text.count(separator) == len(lines) * (width - 1):
            with suppress(pl.exceptions.PolarsError):
                frame = pl.read_csv(
                    text.encode(),
                    has_header=False,
                    separator=separator,
                    quote_char=None,
                    new_columns=list(names),
                    infer_schema=False,
                ).fill_null("")
        if frame is None or frame.shape != (len(lines), width) or (frame[names[0]] == self.header[0]).any():
            self._lines.put_back(lines)
            return None
        self._n_plain_lines += len(lines)
        self._n_rows += frame.height
        return frame


def unwrap_formulas(series: pl.Series) -> pl.Series:
    """Text with 007 for ="007", which is how spreadsheets are told that a cell is text."""
    return series.str.replace(r'^="([^"]*)"$', "$1") if series.str.starts_with(TEXT_FORMULA).any() else series


def _build_frame(names: Sequence[str], rows: Sequence[Sequence[str]]) -> pl.DataFrame:
    columns = zip(*rows, strict=True)
    return pl.DataFrame([pl.Series(name, one, dtype=pl.String) for name, one in zip(names, columns, strict=True)])
