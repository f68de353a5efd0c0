"""Tables that a mapping file asks for over HTTP, one request a source, fetched whole before any row is taken in."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from epic22.adapters.http.fetch import FetchedPages, PageFetcher
from epic22.adapters.http.page_content import read_page
from epic22.adapters.sources.base import ServerKind, SourceRequest
from epic22.core.errors import ColumnError, FileError, SourceError
from epic22.core.tables.canonical import CANONICAL, PANEL, CanonicalTable
from epic22.core.tables.mapping import SourceMap, map_rows
from epic22.core.tables.parsing import parse_column, strip_text
from epic22.core.tables.request import PARAM_PREFIX, RequestOrigin
from epic22.core.tables.row_contract import BROKEN_COLUMN, LINE_COLUMN, TEXT_COLUMN
from epic22.core.tables.versions import Position

if TYPE_CHECKING:
    from epic22.adapters.http.client import HttpClient

LOCAL_TIME_AHEAD = timedelta(hours=14)
"""So far the clocks of a place may be ahead of UTC: what is dated later than that has not happened yet."""
CHECKED_ROWS = 100


@dataclass(frozen=True)
class PageSource:
    """The port `Source` on the pages of one request."""

    table: CanonicalTable
    name: str
    source: SourceMap
    origin: RequestOrigin
    pages: FetchedPages
    is_whole: bool = True
    position: Position | None = None

    @property
    def sha256(self) -> str:
        """The digest of all pages."""
        return self.pages.sha256

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of how the pages came."""
        return self.pages.notes

    @property
    def declared_units(self) -> frozenset[str]:
        """The columns whose unit the mapping states."""
        return self.source.declared_units

    @property
    def derived(self) -> bool:
        """Whether the mapping makes `known_at` from an event."""
        return self.source.known_at is not None

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows under the table's columns, read anew from the pages; one that is dated in the future is broken."""
        line, n_rows = 1, 0
        for path in self.pages.paths:
            for batch in read_page(path, self.origin, self.name, line):
                line = int(batch[LINE_COLUMN][-1]) + 1 if batch.height else line
                rows = map_rows(self.source, _add_params(batch, self.origin))
                n_rows += rows.height
                yield self._mark_future_rows(rows)
        if not n_rows:
            raise SourceError(
                f"{self.name}: the answer has rows, and the mapping takes none of them; look at 'where:'. Nothing was stored."
            )

    def read_keys(self) -> None:
        """Nothing: an answer says nothing of rows that are not in it."""

    def _mark_future_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        column = self.table.event_at
        if column not in rows.columns:
            return rows
        now = self.pages.fetched_at
        times = parse_column(strip_text(rows[column]), self.table.get_column(column))
        is_future = (times > now + LOCAL_TIME_AHEAD).fill_null(value=False)
        if not is_future.any():
            return rows
        bare = rows.select(pl.exclude(LINE_COLUMN, BROKEN_COLUMN, TEXT_COLUMN))
        reason = times.dt.strftime(f"{column} %Y-%m-%d lies after the fetch, {now:%Y-%m-%d}").set(~is_future, None)
        text = bare.select(pl.struct(pl.all()).struct.json_encode()).to_series().set(~is_future, None)
        absent = [pl.lit(None, pl.String).alias(name) for name in (BROKEN_COLUMN, TEXT_COLUMN) if name not in rows.columns]
        rows = rows.with_columns(absent)
        return rows.with_columns(
            pl.coalesce(BROKEN_COLUMN, pl.lit(reason)).alias(BROKEN_COLUMN),
            pl.coalesce(TEXT_COLUMN, pl.lit(text)).alias(TEXT_COLUMN),
        )


def _build_client() -> "HttpClient":
    # Only who asks a server waits until the libraries for it are loaded.
    from epic22.adapters.http.client import HttpClient

    return HttpClient()


@contextmanager
def connect_sources(
    request: SourceRequest, build_client: Callable[[], "HttpClient"] = _build_client
) -> Iterator[Sequence[PageSource]]:
    """The requests that a mapping names, fetched in their order. Raises SourceError, FileError for other origins."""
    places = _list_places(request)
    client = build_client()
    try:
        with tempfile.TemporaryDirectory(prefix="epic22-http-") as scratch:
            fetcher = PageFetcher(client, request.cache or Path(scratch), request.environment, client.clock)
            yield [_fetch_source(fetcher, *place) for place in places]
    finally:
        client.close()


Place = tuple[CanonicalTable, str, SourceMap, RequestOrigin]


def _list_places(request: SourceRequest) -> list[Place]:
    """The sources of the mapping, at the address that was asked for instead of its own where there is one."""
    mapping = request.mapping
    tables = {PANEL.name: (mapping.panel,)} if mapping.panel is not None else mapping.tables
    places: list[Place] = []
    for table in (*CANONICAL, PANEL):
        sources = tables.get(table.name, ())
        for number, source in enumerate(sources, start=1):
            if not isinstance(source.origin, RequestOrigin):
                raise FileError(
                    f"{table.name}: the mapping has no 'request:' for it; an ingest over HTTP takes all tables from there."
                )
            name = f"{mapping.source}/{table.name}" + (f"[{number}]" if len(sources) > 1 else "")
            places.append((table, name, source, source.origin))
    if request.address is None:
        return places
    if len(places) != 1:
        raise SourceError(
            f"--source: the mapping has {len(places)} requests and an address is for one; leave it out, or name another mapping."
        )
    table, name, source, origin = places[0]
    return [(table, name, source, origin.with_address(request.address.url))]


def _fetch_source(fetcher: PageFetcher, table: CanonicalTable, name: str, source: SourceMap, origin: RequestOrigin) -> PageSource:
    _refuse_missing_params(name, source, origin)

    def check(path: Path) -> None:
        """Raise where the columns that the mapping names are not there."""
        for batch in read_page(path, origin, name):
            try:
                map_rows(source, _add_params(batch.head(CHECKED_ROWS), origin))
            except ColumnError as error:
                raise SourceError(f"{name}: the answer is not as declared: {error}") from None
            break

    return PageSource(table, name, source, origin, fetcher.fetch(origin, name, check))


def _refuse_missing_params(name: str, source: SourceMap, origin: RequestOrigin) -> None:
    for column in sorted(source.source_columns()):
        param = column.removeprefix(PARAM_PREFIX)
        if column.startswith(PARAM_PREFIX) and param not in origin.visible_params:
            raise SourceError(
                f"{name}: the address has no parameter {param}, which the mapping needs; give it with --source "
                f"'{origin.address}?{param}=…'."
            )


def _add_params(batch: pl.DataFrame, origin: RequestOrigin) -> pl.DataFrame:
    """The rows with the parameters that they were asked for by."""
    return batch.with_columns(pl.lit(value).alias(f"{PARAM_PREFIX}{name}") for name, value in origin.visible_params.items())


SERVER = ServerKind("http", ("http", "https"), connect_sources)
