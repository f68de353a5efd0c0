"""Reading a file as a table, whole or not at all.

CSV with any separator and in any usual encoding, plain or gzipped, comes in as text, so that nothing is guessed here; JSON and
JSON lines as text or numbers; Parquet with its own types.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.errors import FileError
from epic22.core.lineage import sha256

MAX_LINE_BYTES = 16 * 2**20
"""A line longer than this is taken for damage."""

SEPARATORS = (",", ";", "\t", "|")
SNIFFED_LINES = 50
GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
ODD_BYTES = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
UNDEFINED_1252 = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
MULTIBYTE_UTF8 = re.compile(rb"[\xc3-\xf4][\x80-\xbf]")


@dataclass(frozen=True)
class RawTable:
    """A file's rows as they are: text for CSV, own types for Parquet. `sha256` is of the file's bytes."""

    path: str
    frame: pl.DataFrame
    sha256: str
    format: str
    separator: str | None
    encoding: str | None


def read_table(path: Path) -> RawTable:
    """The table in a file.

    Raises FileError, in one sentence, for a file that is absent, empty, damaged, ragged, binary, or of doubtful encoding.
    """
    content = _bytes(path)
    digest = sha256(content)
    if content[:4] == PARQUET:
        return RawTable(str(path), _parquet(path, content), digest, "parquet", None, None)
    content = _unzipped(path, content)
    text, encoding = _decoded(path, content)
    _refuse_long_lines(path, text)
    if text.lstrip()[:1] in ("[", "{"):
        frame, kind = _json(path, text)
        return RawTable(str(path), frame, digest, kind, None, encoding)
    separator = _separator(text)
    return RawTable(str(path), _csv(path, text, separator), digest, "csv", separator, encoding)


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; check the name and the folder.") from None
    except IsADirectoryError:
        raise FileError(f"{path} is a folder; name the file in it.") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror}); check its permissions.") from None
    if not content:
        raise FileError(f"{path} is empty (0 bytes); expected a header line and rows.")
    return content


def _unzipped(path: Path, content: bytes) -> bytes:
    if content[:2] != GZIP:
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error):
        raise FileError(f"{path} is a damaged or truncated gzip file; fetch it again.") from None


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    """The text and its encoding: by its byte order mark, else UTF-8, else Windows-1252 where that is plausible."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _strictly(path, content, "utf-16"), "utf-16"
    odd = ODD_BYTES.search(content)
    if odd is not None:
        raise FileError(
            f"{path} is no text: byte {odd.group()[0]:#04x} at position {odd.start():,}; expected CSV, JSON or Parquet."
        )
    try:
        return content.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError as error:
        return _western(path, content, error), "cp1252"


def _strictly(path: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise FileError(f"{path} begins like {encoding.upper()} but is not; save it as UTF-8.") from None


def _western(path: Path, content: bytes, error: UnicodeDecodeError) -> str:
    """Windows-1252 text, unless the bytes are a mixture with UTF-8, undefined, or too many to be letters of a western text."""
    high = sum(byte >= 0x80 for byte in content[: 1 << 20])
    mixed = MULTIBYTE_UTF8.search(content) is not None
    if mixed or UNDEFINED_1252.search(content) or high > 0.3 * min(len(content), 1 << 20):
        line = content.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"{path}, line {line}: byte {content[error.start]:#04x} is neither UTF-8 nor plain Windows-1252; "
            "save the file as UTF-8."
        ) from None
    return content.decode("cp1252")


def _refuse_long_lines(path: Path, text: str) -> None:
    if len(text) <= MAX_LINE_BYTES:
        return
    for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
        if len(line) > MAX_LINE_BYTES and not text.lstrip()[:1] == "[":
            raise FileError(
                f"{path}, line {number} is longer than {MAX_LINE_BYTES >> 20} MB; a line break or a closing quote is missing."
            )


def _separator(text: str) -> str:
    """The separator that cuts the first lines into the same number of fields, more than one; a comma where none does."""
    lines = list(_first_lines(text))
    best, width = ",", 1
    for separator in SEPARATORS:
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if row)
        if not counts:
            continue
        fields, times = counts.most_common(1)[0]
        if fields > width and times >= 0.8 * sum(counts.values()):
            best, width = separator, fields
    return best


def _first_lines(text: str) -> Iterable[str]:
    for number, line in enumerate(io.StringIO(text, newline="")):
        if number == SNIFFED_LINES:
            return
        yield line


def _csv(path: Path, text: str, separator: str) -> pl.DataFrame:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    csv.field_size_limit(MAX_LINE_BYTES)
    rows: list[list[str]] = []
    try:
        names = _names(path, next(row for row in reader if row))
        for row in reader:
            if len(row) != len(names):
                if not row:
                    continue
                raise FileError(
                    f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(names)}; "
                    "mend the line, or quote a value that holds the separator."
                )
            rows.append(row)
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}: {error}; mend the quotes there.") from None
    except StopIteration:
        raise FileError(f"{path} holds blank lines only; expected a header line and rows.") from None
    if not rows:
        raise FileError(f"{path} has a header and no rows; there is nothing to learn from.")
    columns = zip(*rows, strict=True)
    return pl.DataFrame([pl.Series(name, values, dtype=pl.String) for name, values in zip(names, columns, strict=True)])


def _names(path: Path, header: list[str]) -> list[str]:
    """The column names without surrounding blanks; a nameless column is called by its position."""
    names = [name.strip() or f"column_{position}" for position, name in enumerate(header, start=1)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise FileError(f"{path} has two columns of the name {twice[0]!r}; rename one.")
    return names


def _json(path: Path, text: str) -> tuple[pl.DataFrame, str]:
    """An array of flat records, or a record a line; a key absent from a record is missing there."""
    if text.lstrip()[0] == "[":
        return _records(path, _parsed(path, text, 0)), "json"
    lines = enumerate(text.splitlines(), start=1)
    return _records(path, [_parsed(path, line, number) for number, line in lines if line.strip()]), "jsonl"


def _parsed(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {line or getattr(error, 'lineno', 1)}, column {getattr(error, 'colno', 1)}"
        raise FileError(f"{path}, {where}: not JSON ({getattr(error, 'msg', 'nested too deeply')}).") from None


def _records(path: Path, records: Any) -> pl.DataFrame:
    if not isinstance(records, list) or not records:
        raise FileError(f"{path}: expected an array of records with at least one in it.")
    names: dict[str, None] = {}
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict) or any(isinstance(value, dict | list) for value in record.values()):
            raise FileError(f"{path}, record {number}: expected a flat record of names and plain values.")
        names.update(dict.fromkeys(record))
    if not names:
        raise FileError(f"{path}: its records are empty.")
    stripped = _names(path, list(names))
    return pl.DataFrame(
        [
            pl.Series(to, [_text(record.get(name)) for record in records], dtype=pl.String)
            for name, to in zip(names, stripped, strict=True)
        ]
    )


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _parquet(path: Path, content: bytes) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, OSError):
        raise FileError(f"{path} is a damaged or truncated Parquet file; fetch it again.") from None
    if not frame.height or not frame.width:
        raise FileError(f"{path} has no rows; there is nothing to learn from.")
    nested = [name for name, dtype in frame.schema.items() if dtype.is_nested() or dtype in (pl.Binary, pl.Object)]
    if nested:
        raise FileError(f"{path}: column {nested[0]!r} holds {frame.schema[nested[0]]}; only plain values can be used.")
    frame = frame.rename(dict(zip(frame.columns, _names(path, frame.columns), strict=True)))
    plain = [pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.col(pl.Decimal).cast(pl.Float64)]
    return frame.with_columns(plain)
