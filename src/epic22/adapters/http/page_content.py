"""The rows of a page: where they lie in a JSON body, or the lines of a CSV body."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from epic22.adapters.sources.file_reader import BATCH_ROWS, frame_records, parse_json_text, read_batches
from epic22.core.data.files import read_text
from epic22.core.errors import FileError, SourceError
from epic22.core.tables.request import RequestOrigin, split_path

SUFFIXES = {"json": ".json", "csv": ".csv"}
"""What the file of a page's body ends with, by its format: the reader of files goes by it."""


def read_document(path: Path, place: str) -> Any:
    """The JSON of a body, its numbers as the text they are. Raises SourceError where it is none."""
    text, _ = read_text(path)
    try:
        return parse_json_text(text)
    except (ValueError, RecursionError):
        what = "a page for people (HTML)" if text.lstrip()[:1] == "<" else "no JSON that can be read"
        raise SourceError(f"{place}: the answer is {what}, where JSON is declared; look at the address and key.") from None


def find_value(document: Any, path: str) -> Any:
    """What stands at a path such as $.data.items[0]; None where nothing does."""
    for step in split_path(path):
        if isinstance(step, int):
            document = document[step] if isinstance(document, list) and step < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document


def find_records(document: Any, origin: RequestOrigin, place: str) -> list[Any]:
    """The rows in a JSON body. Raises SourceError where there are none at the declared places."""
    places = {path: rows for path in origin.rows if (rows := find_value(document, path)) is not None}
    if len(places) > 1:
        raise SourceError(f"{place}: the answer has rows at {' and '.join(places)}; ask for one of them at a time.")
    rows = next(iter(places.values()), None)
    if origin.layout == "columns" and isinstance(rows, dict):
        return _turn_columns(rows, place)
    if origin.layout == "records" and isinstance(rows, list):
        return rows
    declared, kind = " or ".join(origin.rows), "a list of records" if origin.layout == "records" else "a record of lists"
    there = ", ".join(list(document)[:10]) if isinstance(document, dict) else type(document).__name__
    raise SourceError(f"{place}: expected {kind} at {declared} of the answer, which has {there or 'nothing'}; look at 'rows:'.")


def _turn_columns(columns: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    """Records from lists of one length; what is no list is left out."""
    lists = {name: values for name, values in columns.items() if isinstance(values, list)}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise SourceError(f"{place}: the lists of the answer differ in length ({listed}); it is not whole.")
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@dataclass(frozen=True)
class PageContent:
    """How many rows a page holds, and its JSON document; None of CSV."""

    n_rows: int
    document: Any = field(default=None, repr=False)


def inspect_page(path: Path, origin: RequestOrigin, place: str) -> PageContent:
    """What a page holds. Raises SourceError where that is not as declared."""
    if origin.format == "csv":
        return PageContent(sum(batch.height for batch in _read_csv(path, place)) if path.stat().st_size else 0)
    document = read_document(path, place)
    return PageContent(len(find_records(document, origin, place)), document)


def read_page(path: Path, origin: RequestOrigin, place: str, first_line: int = 1) -> Iterator[pl.DataFrame]:
    """The rows of a page's file, with `#line` from `first_line` on. Raises SourceError where they are not as declared."""
    if origin.format == "csv":
        yield from _read_csv(path, place)
        return
    records = find_records(read_document(path, place), origin, place)
    numbered = enumerate(records, start=first_line)
    while chunk := list(islice(numbered, BATCH_ROWS)):
        yield from frame_records(path, iter(chunk), BATCH_ROWS)


def _read_csv(path: Path, place: str) -> Iterator[pl.DataFrame]:
    with path.open("rb") as stream:
        head = stream.read(256).lstrip(b"\xef\xbb\xbf \r\n\t")
    if head[:1] in (b"<", b"{"):
        what = "a page for people (HTML)" if head[:1] == b"<" else "JSON"
        raise SourceError(f"{place}: the answer is {what}, where CSV is declared; look at the address and key.")
    try:
        yield from read_batches(path)
    except FileError as error:
        raise SourceError(f"{place}: {str(error).removeprefix(str(path)).lstrip(':, ')}") from None
