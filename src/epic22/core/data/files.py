"""Reading a file as a table, whole or not at all.

CSV with any separator and in any usual encoding, plain, zipped or gzipped, comes in as text, so that nothing is guessed here;
JSON, JSON lines and a sheet of an Excel workbook as text too; Parquet with its own types.
"""

import csv
import gzip
import hashlib
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.data.names import strip_ends
from epic22.core.data.number_format import MAX_WHOLE_DIGITS, NumberText
from epic22.core.data.table_lines import are_values, count_footer_lines, describe_left_out, find_header, is_unit_line
from epic22.core.data.workbook import is_archive, read_workbook, unwrap_archive
from epic22.core.errors import FileError
from epic22.core.lineage import file_sha256, sha256

MAX_LINE_BYTES = 16 * 2**20
"""A line longer than this is taken for damage."""

SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""How a text begins that is not in UTF-8, the longer mark first."""

PATTERN = re.compile(r"\*|\^.*\$", re.DOTALL)
"""Names that Polars takes for a pattern of names."""
SNIFFED_LINES = 50
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
ODD_BYTES = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
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
        return _unwrap_formulas(_build_table(table, enumerate(rows, start=1)))
    content = _decompress(path, stored)
    if content[:4] == PARQUET:
        return RawTable(str(path), _read_parquet(path, content), digest, "parquet", None, None, framed)
    text, encoding = _decode(path, content)
    # The csv module refuses fields over 128 KB unless told, for the whole process.
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
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if encoding is not None:
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            raise FileError(f"{path} begins like {encoding.upper()} but is not; save it as UTF-8.") from None
    odd = ODD_BYTES.search(content)
    if odd is not None:
        raise FileError(
            f"{path} is no text: byte {odd.group()[0]:#04x} at position {odd.start():,}; expected CSV, JSON or Parquet."
        )
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError as error:
        return _decode_windows_1252(path, content, error), "cp1252"


def _decode_windows_1252(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    """Windows-1252 text, unless the bytes are a mixture with UTF-8, undefined, or too many to be letters of a western text."""
    n_high = sum(byte >= 0x80 for byte in content[: 1 << 20])
    has_utf8 = MULTIBYTE_UTF8.search(content) is not None
    if has_utf8 or UNDEFINED_1252.search(content) or n_high > 0.3 * min(len(content), 1 << 20):
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"{path}, line {line}: byte {content[error.start]:#04x} is neither UTF-8 nor plain Windows-1252; "
            "save the file as UTF-8."
        ) from None
    return content.decode("cp1252")


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
            raise FileError(
                f"{path}, line {number} is longer than {MAX_LINE_BYTES >> 20} MB; a line break or a closing quote is missing."
            )


def detect_separator(text: str) -> str:
    """The separator that cuts the header and most of the first lines into the same number of fields, more than one.

    Counting from the header on keeps "a;b" over "1,5;2,5" from being taken for three fields with commas between them.
    A comma where none does: the file has one column, or is ragged and will be refused.
    """
    lines = list_first_lines(text)
    best, fit = ",", (0.0, 1)
    for separator in SEPARATORS:
        quote = detect_quote(lines, separator)
        rows = [row for row in csv.reader(lines, delimiter=separator, quotechar=quote, skipinitialspace=True) if row]
        widths = [len(row) for row in rows[find_header(rows) :]]
        if widths and widths[0] > 1:
            fit, best = max((fit, best), ((widths.count(widths[0]) / len(widths), widths[0]), separator), key=lambda f: f[0])
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
    # A quote behind a blank, as in 1, "x, y", is one too.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote, skipinitialspace=True, strict=True)
    try:
        table = _build_table(table, ((reader.line_num, row) for row in reader if row))
    except csv.Error as error:
        raise FileError(f"{table.path}, line {reader.line_num}: {error}; mend the quotes there.") from None
    return _unwrap_formulas(table) if '="' in text else table


def _build_table(table: RawTable, numbered: Iterator[tuple[int, list[str]]]) -> RawTable:
    """The table with the rows below the header, and notes on lines that are none of it; each comes with the number of its line.

    Raises FileError.
    """
    path = Path(table.path)
    rows: list[list[str]] = []
    # The place among the rows, and the message, of the first line that has another number of fields than the header.
    ragged: tuple[int, str] | None = None
    try:
        head = list(itertools.islice(numbered, SNIFFED_LINES))
        title = [row for _, row in head[: find_header([row for _, row in head])]]
        header = head[len(title)][1]
        names = clean_column_names(path, header)
        n_headers = 0
        for line, row in itertools.chain(head[len(title) + 1 :], numbered):
            # A separator at the end of each row, which the header lacks, parts nothing.
            while len(row) > len(names) and not row[-1].strip():
                row.pop()
            if row == header and len(names) > 1:
                n_headers += 1
                continue
            if len(row) != len(names) and ragged is None:
                ragged = len(rows), f"line {line}: {len(row)} fields where the header has {len(names)}"
            rows.append(row)
    except IndexError:
        raise FileError(f"{path} holds blank lines only; expected a header line and rows.") from None
    units = rows[:1] if rows and ragged is None and is_unit_line(rows[0], rows[1:]) else []
    del rows[: len(units)]
    n_rows = len(rows) - count_footer_lines(rows, len(names))
    if ragged is not None and ragged[0] < n_rows:
        raise FileError(f"{path}, {ragged[1]}; mend the line, or quote a value that holds the separator.")
    notes = describe_left_out(title, rows[n_rows:], units)
    notes += (f"{n_headers:,} {'row that repeats' if n_headers == 1 else 'rows that repeat'} the header left out.",) * (
        n_headers > 0
    )
    if not n_rows:
        raise FileError(f"{path} has a header and no rows; there is nothing to learn from.")
    del rows[n_rows:]
    columns: list[pl.Series] = []
    numbers: list[str] = []
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        columns.append(pl.Series(name, values, dtype=pl.String))
        numbers += [name] if _are_numbers(values) else []
    return replace(table, frame=pl.DataFrame(columns), notes=notes, numbers=frozenset(numbers))


def _unwrap_formulas(table: RawTable) -> RawTable:
    """The table with 007 for ="007", which is how spreadsheets are told that a cell is text."""
    return replace(table, frame=table.frame.with_columns(pl.all().str.replace(r'^="([^"]*)"$', "$1")))


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
