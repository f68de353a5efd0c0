"""Files that land in a folder, read batch by batch as they are: CSV, Excel, JSON and GeoJSON as text, Parquet with its own types.

Every batch carries `#line`, where in the file each row begins (its row, for Parquet). A line that is no row at all, with too many
fields or broken JSON, comes with the reason in `#broken` and itself in `#text`; the check sets it apart.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import polars as pl

from epic22.adapters.sources.geojson import list_records
from epic22.core.data.csv_records import MAX_LINE_BYTES, SNIFFED_LINES
from epic22.core.data.files import detect_separator, is_json, read_text
from epic22.core.data.table_lines import find_header
from epic22.core.errors import FileError
from epic22.core.tables.row_contract import BROKEN_COLUMN, LINE_COLUMN, TEXT_COLUMN

BATCH_ROWS = 250_000
"""Rows a batch."""
PIECE_ROWS = 20_000
"""Rows that are in memory one by one, where they are read so."""
ARCHIVES = (".xlsx", ".zip")
GEOJSON = (".geojson", ".geojson.gz")
LINES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".ndjson")
SUFFIXES = (*LINES, ".json", ".json.gz", *GEOJSON, ".parquet", *ARCHIVES)
STREAMED_FROM = 8 * 2**20
"""Bytes from which a plain text file in UTF-8 is streamed; below, and in other encodings, it is read whole."""
JSON = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""JSON with its numbers as the text they are."""
OWN_NAMES = (LINE_COLUMN, BROKEN_COLUMN, TEXT_COLUMN)
HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")
QUOTED, MARK = '"[^"]*"', "\x01"
"""What stands between quotes, and the sign that is put in its place."""
HEAD_BYTES = 2**16
"""Bytes that tell a large file's encoding and separator."""


def list_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of a table in a folder: `name.csv` and the like, and those in a folder `name`, by name."""
    top_level = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
    in_folder = [path for path in sorted((folder / name).glob("*")) if path.name.endswith(SUFFIXES)]
    return (*top_level, *in_folder)


def read_batches(path: Path, rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
    """The file's rows, at most about this many at a time. Raises FileError where it cannot be read as a table."""
    if path.name.endswith(".parquet"):
        yield from _read_parquet(path, rows)
    elif path.name.endswith(GEOJSON):
        yield from _read_geojson(path, rows)
    elif path.name.removesuffix(".gz").endswith(".json"):
        yield from _read_json_array(path, rows)
    elif (head := _read_head(path)) is None:
        text, _ = read_text(path)
        if path.name.endswith(ARCHIVES) and is_json(path, text):
            yield from _read_json_array(path, rows)
            return
        yield from _read_lines(path, io.StringIO(text, newline=""), detect_separator(text[:HEAD_BYTES]), rows)
    elif path.suffix in (".csv", ".tsv"):
        yield from _stream_csv(path, detect_separator(head), rows)
    else:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _read_lines(path, stream, ",", rows)


def _read_head(path: Path) -> str | None:
    """The beginning of a file that can be streamed: large, not zipped, and in UTF-8 as far as that goes; None of another."""
    if path.name.endswith((".gz", *ARCHIVES)) or not path.is_file() or path.stat().st_size < STREAMED_FROM:
        return None
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    try:
        return None if b"\0" in head else head[: head.rfind(b"\n") + 1].decode("utf-8-sig") or None
    except UnicodeDecodeError:
        return None


def _read_lines(path: Path, stream: Iterator[str], separator: str, rows: int) -> Iterator[pl.DataFrame]:
    """CSV or JSON lines, by the file's name."""
    if path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
        yield from _read_json_lines(path, stream, rows)
    else:
        yield from _read_csv(path, stream, separator, rows)


def _read_parquet(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    try:
        yield from (
            pl.scan_parquet(path).with_row_index(LINE_COLUMN, offset=1).collect_batches(chunk_size=rows, maintain_order=True)
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise FileError(f"{path}: not readable as Parquet ({error}); fetch it again.") from None


def _stream_csv(path: Path, separator: str, rows: int) -> Iterator[pl.DataFrame]:
    """By Polars; from the first line that it refuses on, line by line, and all so where it would fill up a line too short."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator)
        names = _parse_header(path, next(reader, []))
        line = reader.line_num + 1
    if _has_short_lines(path, separator, len(names)):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _read_csv(path, stream, separator, rows)
        return
    try:
        lazy = pl.scan_csv(path, infer_schema=False, separator=separator)
        for batch in lazy.collect_batches(chunk_size=rows, maintain_order=True):
            numbered = batch.with_columns(_number_lines(batch, line))
            line = int(numbered[LINE_COLUMN][-1]) + 1 + _count_line_breaks(batch.tail(1))[0] if batch.height else line
            yield numbered
    except pl.exceptions.PolarsError:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _read_csv(path, stream, separator, rows, begin=line)


def _has_short_lines(path: Path, separator: str, width: int) -> bool:
    """Whether some row may have fewer fields than the header, or a quote elsewhere than around a field."""
    lines = pl.scan_lines(path, name="line")
    bare = pl.col("line").str.replace_all(QUOTED, "")
    is_short = (bare.str.count_matches(separator, literal=True) < width - 1) & (pl.col("line").str.strip_chars() != "")
    goes_on = pl.col("line").str.count_matches('"', literal=True) % 2 == 1
    if not lines.select((is_short | goes_on).any()).collect(engine="streaming").item():
        return False
    is_open, n_before = False, 0
    for batch in lines.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        if not batch.height:
            continue
        rows = _count_separators(batch["line"], separator, is_open)
        rows[0, "n"] += n_before
        is_open = bool(rows["is_open"][-1])
        n_before = int(rows["n"][-1]) if is_open else 0
        is_short = (pl.col("n") < width - 1) & ~pl.col("is_blank") & ~pl.col("is_open")
        if rows.select((is_short | pl.col("is_odd")).any()).item():
            return True
    return is_open


def _count_separators(lines: pl.Series, separator: str, is_open: bool) -> pl.DataFrame:
    """The rows that lines make, one that is within quotes at its end going on in the next: `n` separators outside quotes, whether
    it is blank, still open at the end of the last line, or has a quote elsewhere than around a field.

    `is_open`: the first line begins within quotes.

    >>> _count_separators(pl.Series(['1,"a', 'b",2', '3,4" pipe,5" pipe']), ",", False).rows()
    [(2, False, False, False), (1, False, False, True)]
    """
    lines = lines.str.strip_chars_end("\r").str.strip_prefix("\ufeff")
    is_open_after = (lines.str.count_matches('"', literal=True).cast(pl.Int64).cum_sum() + is_open) % 2 == 1
    is_open_before = is_open_after.shift(1, fill_value=is_open)
    quote = pl.lit('"')
    closed = pl.concat_str(
        pl.when(pl.col("before")).then(quote).otherwise(pl.lit("")),
        "line",
        pl.when(pl.col("after")).then(quote).otherwise(pl.lit("")),
    )
    bare = closed.str.replace_all(QUOTED, MARK)
    sign = re.escape(separator)
    return (
        pl.DataFrame({"line": lines, "before": is_open_before, "after": is_open_after})
        .select(
            "after",
            row=(~pl.col("before")).cum_sum(),
            n=bare.str.count_matches(separator, literal=True).cast(pl.Int64),
            is_blank=bare.str.strip_chars() == "",
            is_odd=bare.str.contains(f"[^{sign}{MARK}]{MARK}|{MARK}[^{sign}{MARK}]"),
        )
        .group_by("row", maintain_order=True)
        .agg(pl.col("n").sum(), pl.col("is_blank").all(), is_open=pl.col("after").last(), is_odd=pl.col("is_odd").any())
        .drop("row")
    )


def _number_lines(batch: pl.DataFrame, first: int) -> pl.Series:
    """The line at which each row begins: one a row, and one more for each line break inside a value before it."""
    numbers = pl.int_range(first, first + batch.height, dtype=pl.Int64, eager=True).alias(LINE_COLUMN)
    if not any(bool(column.str.contains("\n", literal=True).any()) for column in batch):
        return numbers
    breaks = _count_line_breaks(batch)
    return (numbers + breaks.cum_sum().shift(1, fill_value=0)).alias(LINE_COLUMN)


def _count_line_breaks(batch: pl.DataFrame) -> pl.Series:
    counts = [pl.col(name).str.count_matches("\n", literal=True).fill_null(0) for name in batch.columns]
    return batch.select(pl.sum_horizontal(counts).cast(pl.Int64).alias("breaks")).to_series()


def _read_csv(path: Path, stream: Iterator[str], separator: str, rows: int, begin: int = 0) -> Iterator[pl.DataFrame]:
    """Row by row from line `begin` on; a row with another number of fields than the header, or above it, is marked as broken."""
    csv.field_size_limit(MAX_LINE_BYTES)
    numbered = _number_rows(path, csv.reader(stream, delimiter=separator))
    first = list(islice(numbered, SNIFFED_LINES))
    if not first:
        raise FileError(f"{path} holds no line; expected a header line and rows.")
    place = find_header([row for _, row in first])
    names = _parse_header(path, first[place][1])
    title: list[Record] = [(line, "above the header", separator.join(row), [None] * len(names)) for line, row in first[:place]]
    records = _parse_csv_rows(chain(first[place + 1 :], numbered), len(names), separator)
    yield from _build_frames((one for one in chain(title, records) if one[0] >= begin), names, rows)


def _number_rows(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, and the line at which each begins."""
    line = reader.line_num + 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileError(f"{path}, line {line}: {error}; mend the file there.") from None


Record = tuple[int, str | None, str | None, list[str | None]]
"""The line's number, what is broken about it, it itself if it is broken, the fields."""


def _parse_csv_rows(numbered: Iterator[tuple[int, list[str]]], width: int, separator: str) -> Iterator[Record]:
    for line, row in numbered:
        if len(row) == width:
            yield line, None, None, [*row]
        else:
            yield line, f"{len(row)} fields where the header has {width}", separator.join(row), [None] * width


def _build_frames(records: Iterator[Record], names: list[str], rows: int) -> Iterator[pl.DataFrame]:
    """Batches of so many rows, put together of smaller ones: as Python's own values they take ten times the memory."""
    while pieces := list(_build_pieces(islice(records, rows), names)):
        yield pl.concat(pieces, how="diagonal")


def _build_pieces(records: Iterator[Record], names: list[str]) -> Iterator[pl.DataFrame]:
    while chunk := list(islice(records, PIECE_ROWS)):
        lines, broken, texts, fields = zip(*chunk, strict=True)
        columns = [
            pl.Series(name, values, dtype=pl.String) for name, values in zip(names, zip(*fields, strict=True), strict=True)
        ]
        frame = pl.DataFrame([pl.Series(LINE_COLUMN, lines, dtype=pl.Int64), *columns])
        if any(reason is not None for reason in broken):
            frame = frame.with_columns(
                pl.Series(BROKEN_COLUMN, broken, dtype=pl.String), pl.Series(TEXT_COLUMN, texts, dtype=pl.String)
            )
        yield frame


def parse_json_text(text: str) -> Any:
    """What a JSON text says, numbers as they are written. Raises ValueError for what is none, or nested too deeply to be read."""
    try:
        return JSON.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_own_names(path: Path, names: Iterable[str]) -> None:
    own = next((name for name in names if name in OWN_NAMES), None)
    if own is not None:
        raise FileError(f"{path} has a column of the name {own!r}, which stands for something else here; rename it.")


def _parse_header(path: Path, header: list[str]) -> list[str]:
    names = [name.strip().lstrip("\ufeff") or f"column_{n}" for n, name in enumerate(header, start=1)]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise FileError(f"{path} has two columns of the name {duplicates[0]!r}; rename one.")
    _refuse_own_names(path, names)
    return names


def _read_json_array(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """One array of records, or a record a line after all; the "line" of a record in an array is its place."""
    text, _ = read_text(path)
    if not text.lstrip().startswith("["):
        yield from _read_json_lines(path, io.StringIO(text), rows)
        return
    try:
        yield from frame_records(path, enumerate(parse_json_text(text), start=1), rows)
    except ValueError as error:
        raise FileError(f"{path}: not JSON ({error}); expected an array of records, or a record a line.") from None


def _read_geojson(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """The features of a collection; the "line" of one is its place."""
    text, _ = read_text(path)
    try:
        content = parse_json_text(text)
    except ValueError as error:
        raise FileError(f"{path}: not JSON ({error}); expected GeoJSON with features.") from None
    yield from frame_records(path, list_records(path, content), rows)


def _read_json_lines(path: Path, stream: Iterator[str], rows: int) -> Iterator[pl.DataFrame]:
    """A record a line; a key absent from a record is missing there, nested values are JSON text."""
    numbered = enumerate(stream, start=1)
    try:
        yield from frame_records(path, ((number, _parse_json_line(line)) for number, line in numbered if line.strip()), rows)
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: not UTF-8 at byte {error.start:,}; save it as UTF-8.") from None


def frame_records(path: Path, numbered: Iterator[tuple[int, Any]], rows: int) -> Iterator[pl.DataFrame]:
    """Batches of records; a column that one batch has had, the next ones have too."""
    names: dict[str, None] = {}
    while chunk := list(islice(numbered, rows)):
        names |= dict.fromkeys(name for _, record in chunk if isinstance(record, dict) for name in record)
        if not names:
            raise FileError(f"{path}: no record in it; expected a record of names and values a line.")
        _refuse_own_names(path, names)
        yield from _build_frames((_to_record(number, record, list(names)) for number, record in chunk), list(names), rows)


def _parse_json_line(line: str) -> Any:
    try:
        return parse_json_text(line)
    except ValueError:
        return line.rstrip("\n")


def _to_record(number: int, record: Any, names: list[str]) -> Record:
    if not isinstance(record, dict):
        return number, "no JSON record", _replace_half_characters(str(record)[:1000]), [None] * len(names)
    fields = [_to_text(record.get(name)) for name in names]
    if any(field is not None and not field.isascii() and HALF_CHARACTER.search(field) for field in fields):
        text = _replace_half_characters(json.dumps(record, ensure_ascii=False)[:1000])
        return number, "half a character (a lone \\ud800 to \\udfff)", text, [None] * len(names)
    return number, None, None, fields


def _replace_half_characters(text: str) -> str:
    return HALF_CHARACTER.sub("\ufffd", text)


def _to_text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)
