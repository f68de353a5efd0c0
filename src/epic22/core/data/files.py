"""Reading a file as a table, whole or not at all.

CSV with any separator and in any usual encoding, plain, zipped or gzipped, comes in as text, so that nothing is guessed here;
JSON, JSON lines and a sheet of an Excel workbook as text too; Parquet with its own types.
"""

import codecs
import csv
import gzip
import hashlib
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.data.csv_records import MAX_LINE_BYTES, SNIFFED_LINES, CsvRecords, TableRecords, unwrap_formulas
from epic22.core.data.names import strip_ends
from epic22.core.data.number_format import MAX_WHOLE_DIGITS, NumberText
from epic22.core.data.table_lines import are_values, find_header, find_width, trim_row
from epic22.core.data.workbook import is_archive, read_workbook, unwrap_archive
from epic22.core.errors import FileError
from epic22.core.lineage import file_sha256, sha256

SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""How a text begins that is not in UTF-8, the longer mark first."""

BYTE_ORDER_MARK = "\ufeff"

PATTERN = re.compile(r"\*|\^.*\$", re.DOTALL)
"""Names that Polars takes for a pattern of names."""
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
ODD = bytes((*range(0x09), 0x0B, *range(0x0E, 0x20)))
"""Bytes that no text has."""

ASCII_BYTES = bytes(range(0x80))
HEAD_BYTES = 1 << 20
UNDEFINED_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
MULTIBYTE_UTF8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
JSON_NAMES = (".json", ".jsonl", ".ndjson")
BARE_NAME = re.compile(r"\s*(\[\s*[A-Za-z_]|\{\s*[^\s\"}])")
"""How a header like [id],[name] begins, and no JSON does."""


@dataclass(frozen=True)
class RawTable:
    """A file's rows as they are: text for CSV and JSON, own types for Parquet. `sha256` is of its bytes, as sha256sum says.

    `format` is csv, json, jsonl or parquet; `separator` is None for all but CSV, `encoding` for Parquet. `content` is what ids
    of data versions are made of: the hash of the length and the bytes. `notes` say which lines of the file are none of the table;
    the rows begin with number `first` of the file's, from 0. `numbers` are the columns that JSON or a workbook has as numbers.
    """

    path: str
    frame: pl.DataFrame
    sha256: str
    format: str
    separator: str | None
    encoding: str | None
    content: str = ""
    notes: tuple[str, ...] = ()
    first: int = 0
    numbers: frozenset[str] = frozenset()


def read_table(path: Path) -> RawTable:
    """The table in a file.

    Raises FileError, in one sentence, for a file that is absent, empty, damaged, ragged, binary, or of doubtful encoding.
    """
    stored = _read_bytes(path)
    digest, framed = hashlib.sha256(stored).hexdigest(), sha256(stored)
    rows = read_workbook(path, stored) if is_archive(stored) else None
    if rows is not None:
        table = RawTable(str(path), pl.DataFrame(), digest, "csv", ",", "utf-8", framed)
        return _build_sheet_table(table, rows)
    content = _decompress(path, stored)
    if content[:4] == PARQUET:
        return RawTable(str(path), _read_parquet(path, content), digest, "parquet", None, None, framed)
    text, encoding = _decode(path, content)
    # For the lines that are sniffed; `CsvRecords` sets it too.
    csv.field_size_limit(MAX_LINE_BYTES)
    if is_json(path, text):
        records, kind = _parse_json(path, text)
        return _build_json_table(RawTable(str(path), pl.DataFrame(), digest, kind, None, encoding, framed), records)
    _refuse_long_lines(path, text)
    separator = detect_separator(text)
    table = _parse_csv(RawTable(str(path), pl.DataFrame(), digest, "csv", separator, encoding, framed), text, separator)
    notes = (describe_windows_1252(text),) if encoding == "cp1252" else ()
    return replace(table, notes=table.notes + notes)


def read_text(path: Path) -> tuple[str, str]:
    """A file's text, unzipped, and the encoding it was in. Raises FileError."""
    return _decode(path, _decompress(path, _read_bytes(path)))


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, read in pieces. Raises FileError where it cannot be read."""
    with _translate_faults(path):
        return file_sha256(path)


def _read_bytes(path: Path) -> bytes:
    with _translate_faults(path):
        content = path.read_bytes()
    _refuse_empty(path, content)
    return content


@contextmanager
def _translate_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; check the name and the folder.") from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; name the file in it.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None


def _refuse_empty(path: Path, content: bytes) -> None:
    if not content:
        raise FileError(f"{path} is empty (0 bytes); expected a header line and rows.")


def _decompress(path: Path, content: bytes) -> bytes:
    if is_archive(content):
        content = unwrap_archive(path, content)
        _refuse_empty(path, content)
        return content
    if content[:2] != GZIP:
        return content
    try:
        content = gzip.decompress(content)
    except (EOFError, OSError, zlib.error):
        raise FileError(f"{path} is a damaged or truncated gzip file; fetch it again.") from None
    _refuse_empty(path, content)
    return content


def _decode(path: Path, content: bytes) -> tuple[str, str]:
    """The text and its encoding: by its byte order mark, else UTF-8, else Windows-1252 where that is plausible."""
    encoding = find_encoding(path, lambda: (content[at : at + HEAD_BYTES] for at in range(0, len(content), HEAD_BYTES)))
    try:
        # Programs that add a byte order mark to one that is there write two.
        return content.decode(encoding).lstrip(BYTE_ORDER_MARK), encoding
    except UnicodeDecodeError:
        raise FileError(f"{path} begins like {encoding.upper()} but is not; save it as UTF-8.") from None


def find_encoding(path: Path, read_pieces: Callable[[], Iterable[bytes]]) -> str:
    """The encoding of a text that is read in pieces: by its byte order mark, else UTF-8, else Windows-1252 where that is
    plausible. Raises FileError for what is no text."""
    decoder, position, first_bad = codecs.getincrementaldecoder("utf-8")(), 0, -1
    for piece in read_pieces():
        encoding = next((name for mark, name in BYTE_ORDER_MARKS if position == 0 and piece.startswith(mark)), None)
        if encoding is not None:
            return encoding
        if len(piece.translate(None, ODD)) < len(piece):
            at = next(at for at, byte in enumerate(piece) if byte in ODD)
            raise FileError(
                f"{path} is no text: byte {piece[at]:#04x} at position {position + at:,}; expected CSV, JSON or Parquet."
            )
        if first_bad < 0:
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                first_bad = position - waiting + error.start
        position += len(piece)
    if first_bad < 0 and decoder.getstate()[0]:
        first_bad = position - len(decoder.getstate()[0])
    if first_bad >= 0:
        _refuse_mixed_encodings(path, read_pieces, first_bad)
    return "utf-8" if first_bad < 0 else "cp1252"


def _refuse_mixed_encodings(path: Path, read_pieces: Callable[[], Iterable[bytes]], first_bad: int) -> None:
    """Raise FileError for a text, no UTF-8 from a byte on, that is no Windows-1252: a mixture with UTF-8, with bytes that are
    undefined, or with too many that would be letters."""
    n_high, position, line, odd, end, is_doubtful = 0, 0, 1, b"", b"", False
    for piece in read_pieces():
        head = piece[: max(0, HEAD_BYTES - position)]
        n_high += len(head.translate(None, ASCII_BYTES))
        line += piece.count(b"\n", 0, max(0, first_bad - position))
        odd = odd or piece[first_bad - position : first_bad - position + 1] * (position <= first_bad)
        joined = end + piece
        is_doubtful = is_doubtful or MULTIBYTE_UTF8.search(joined) is not None or UNDEFINED_1252.search(piece) is not None
        end, position = joined[-3:], position + len(piece)
    if is_doubtful or n_high > 0.3 * min(position, HEAD_BYTES):
        raise FileError(
            f"{path}, line {line}: byte {odd[0]:#04x} is neither UTF-8 nor plain Windows-1252; save the file as UTF-8."
        )


def describe_windows_1252(text: str) -> str:
    """The note about a text that is no UTF-8, with the first word that shows whether it was read aright.

    >>> describe_windows_1252("1;Straße 1")
    "read as Windows-1252, for it is no UTF-8: 'Straße'; where that is not what it says, save the file as UTF-8."
    """
    word = re.search(r"\w*[^\x00-\x7f]\w*", text)
    shown = "" if word is None else f": {word.group()[:40]!r}"
    return f"read as Windows-1252, for it is no UTF-8{shown}; where that is not what it says, save the file as UTF-8."


def _refuse_long_lines(path: Path, text: str) -> None:
    if 4 * len(text) <= MAX_LINE_BYTES:
        return
    for number, line in enumerate(io.StringIO(text, newline=""), start=1):
        if 4 * len(line) > MAX_LINE_BYTES and len(line.encode()) > MAX_LINE_BYTES:
            raise build_long_line_error(path, number)


def build_long_line_error(path: Path, number: int) -> FileError:
    """What is wrong with a line that is too long to be any."""
    return FileError(
        f"{path}, line {number} is longer than {MAX_LINE_BYTES >> 20} MB; a line break or a closing quote is missing."
    )


def detect_separator(text: str) -> str:
    """The separator that cuts the header and most of the first lines into the same number of fields, more than one.

    Counting from the header on keeps "a;b" over "1,5;2,5" from being taken for three fields with commas between them; and a comma
    gives way to another separator that cuts as many lines alike, for "a, m²;b, €" above those may be three fields.
    A comma where none does: the file has one column, or is ragged and will be refused.
    """
    lines = list_first_lines(text)
    best, fit = ",", (0.0, False, 1)
    for separator in SEPARATORS:
        quote = detect_quote(lines, separator)
        rows = [row for row in csv.reader(lines, delimiter=separator, quotechar=quote, skipinitialspace=True) if row]
        width = find_width(rows)
        widths = [len(trim_row(row, width)) for row in rows[find_header(rows) :]]
        if widths and widths[0] > 1:
            own = (widths.count(widths[0]) / len(widths), separator != ",", widths[0])
            fit, best = max((fit, best), (own, separator), key=lambda f: f[0])
    return best


def list_first_lines(text: str) -> list[str]:
    """The first lines of a text with their ends, by which its signs are told."""
    return list(itertools.islice(io.StringIO(text, newline=""), SNIFFED_LINES))


def detect_quote(lines: Sequence[str], separator: str) -> str:
    """The sign around values: ' where nearly every line has a value in such, the columns are as many in all, and none has a ".

    >>> detect_quote(["a,b", "1,'x, y'", "2,'z'"], ","), detect_quote(["a,b", "1,it's"], ",")
    ("'", '"')
    """
    mark = re.escape(separator)
    quoted = re.compile(rf"(?:^|{mark}) *'[^']*' *(?={mark}|[\r\n]|$)")
    below = [line for line in lines[1:] if line.strip()]
    if not below or '"' in "".join(lines) or 10 * sum(quoted.search(line) is not None for line in below) < 9 * len(below):
        return '"'
    rows = csv.reader(lines, delimiter=separator, quotechar="'", skipinitialspace=True)
    return "'" if len({len(row) for row in rows if row}) == 1 else '"'


def _parse_csv(table: RawTable, text: str, separator: str) -> RawTable:
    """The table with the rows of a text, and notes on lines that are none of it. Raises FileError."""
    quote = detect_quote(list_first_lines(text), separator)
    records = CsvRecords(Path(table.path), lambda: io.StringIO(text, newline=""), separator, quote)
    frame = pl.concat(records.iterate_frames(clean_column_names(Path(table.path), records.header)), rechunk=True)
    return replace(table, frame=frame, notes=records.notes)


def _build_sheet_table(table: RawTable, rows: Sequence[list[str]]) -> RawTable:
    """The table with the rows of a sheet below the header, and notes on those that are none of it. Raises FileError."""
    records = TableRecords(Path(table.path), lambda: iter(enumerate(rows, start=1)))
    names, columns, numbers = clean_column_names(Path(table.path), records.header), [], []
    for name, values in zip(names, zip(*records.iterate_rows(), strict=True), strict=True):
        columns.append(unwrap_formulas(pl.Series(name, values, dtype=pl.String)))
        numbers += [name] if _are_numbers(values) else []
    return replace(table, frame=pl.DataFrame(columns), notes=records.notes, numbers=frozenset(numbers))


def clean_column_names(path: Path, header: list[str]) -> list[str]:
    """The column names without what surrounds them and is blank or not seen; a nameless column is called by its position."""
    stripped = strip_ends(pl.Series(header, dtype=pl.String)).to_list()
    names = [name or f"column_{position}" for position, name in enumerate(stripped, start=1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        way_out = "its first line seems to hold values: put one of column names above it" if are_values(names) else "rename one"
        raise FileError(f"{path} has two columns of the name {twice[0]!r}; {way_out}.")
    pattern = next((name for name in names if PATTERN.fullmatch(name)), None)
    if pattern is not None:
        raise FileError(f"{path} has a column of the name {pattern!r}, which would stand for others too; rename it.")
    return names


def is_json(path: Path, text: str) -> bool:
    """By its name, else by how it begins."""
    if path.with_suffix("" if path.suffix == ".gz" else path.suffix).suffix.lower() in JSON_NAMES:
        return True
    return text.lstrip()[:1] in ("[", "{") and BARE_NAME.match(text) is None


def _parse_json(path: Path, text: str) -> tuple[list[Any], str]:
    """The records, and json for an array or jsonl for a record a line."""
    start = len(text) - len(text.lstrip())
    first, end = _decode_json(path, text, start)
    if not text[end:].strip():
        return first if isinstance(first, list) else [first], "json" if isinstance(first, list) else "jsonl"
    _refuse_long_lines(path, text)
    return list(_iterate_json_lines(path, text)), "jsonl"


def _iterate_json_lines(path: Path, text: str) -> Iterator[Any]:
    # Not splitlines: U+2028 and its kin may stand inside a JSON text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            stripped = line.strip()
            value, end = _decode_json(path, stripped, 0, number)
            if end != len(stripped):
                raise FileError(f"{path}, line {number}, column {end + 1}: expected one record a line, found more after it.")
            yield value


def _decode_json(path: Path, text: str, start: int, line: int | None = None) -> tuple[Any, int]:
    """The value that begins at `start` and where it ends; numbers stay the text they are."""
    try:
        return JSON.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise FileError(f"{path}, line {line or error.lineno}, column {error.colno}: not JSON ({error.msg}).") from None
    except RecursionError:
        raise FileError(f"{path}: its JSON is nested too deeply; expected an array of flat records.") from None
    except ValueError as error:
        raise FileError(f"{path}{f', line {line}' if line else ''}: {error}; rename one.") from None


def _build_record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"a record has two values of the name {name!r}")
    return record


JSON = json.JSONDecoder(object_pairs_hook=_build_record, parse_int=NumberText, parse_float=NumberText, parse_constant=NumberText)


def _build_json_table(table: RawTable, records: list[Any]) -> RawTable:
    """The table with the flat records as its rows, as text; a key absent from a record is missing there. Raises FileError."""
    path = Path(table.path)
    if not records:
        raise FileError(f"{path}: expected an array of records with at least one in it.")
    names: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict) or any(isinstance(value, dict | list) for value in record.values()):
            raise FileError(f"{path}, record {number}: expected a flat record of names and plain values.")
        names.update(dict.fromkeys(record))
    if not names:
        raise FileError(f"{path}: its records are empty; expected names and values.")
    values = {to: [one.get(name) for one in records] for to, name in zip(clean_column_names(path, [*names]), names, strict=True)}
    try:
        frame = pl.DataFrame([pl.Series(to, [_to_text(one) for one in column], dtype=pl.String) for to, column in values.items()])
    except UnicodeEncodeError:
        raise FileError(f"{path} holds half a character (a lone \\ud800 to \\udfff); write such characters whole.") from None
    return replace(table, frame=frame, numbers=frozenset(to for to, column in values.items() if _are_numbers(column)))


def _are_numbers(values: Iterable[Any]) -> bool:
    """Whether all that is there are numbers, and none a whole one that may be too long for 64 bits, as names are."""
    has_number = False
    for value in values:
        if value is None or value == "":
            continue
        if not isinstance(value, NumberText) or (len(value) > MAX_WHOLE_DIGITS and value.lstrip("-").isdigit()):
            return False
        has_number = True
    return has_number


def _to_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _read_parquet(path: Path, content: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError):
        raise FileError(f"{path} is a damaged or truncated Parquet file; fetch it again.") from None
    if not frame.height or not frame.width:
        raise FileError(f"{path} has no rows; there is nothing to learn from.")
    return cast_to_plain_types(path, frame.rename(dict(zip(frame.columns, clean_column_names(path, frame.columns), strict=True))))


def cast_to_plain_types(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """A Parquet file's rows without dictionaries and decimals. Raises FileError for a column that holds no plain values."""
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype in (pl.Binary, pl.Object)]
    if nested:
        raise FileError(f"{path}: column {nested[0]!r} holds {frame.schema[nested[0]]}; only plain values can be used.")
    decimals = [_cast_decimals(frame[name]) for name, dtype in frame.schema.items() if isinstance(dtype, pl.Decimal)]
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).with_columns(decimals)


def _cast_decimals(series: pl.Series) -> pl.Series:
    """Decimals as numbers; whole ones, as databases export their keys, as integers, or as text where 64 bits do not hold them."""
    if series.dtype.scale:  # type: ignore[attr-defined]
        return series.cast(pl.Float64)
    whole = series.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == series.null_count() else series.cast(pl.String)
