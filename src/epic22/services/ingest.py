"""Ingest: canonical tables from their sources into a new version, whole or not at all; broken rows are set apart.

Tables come in the order of their references; every batch is checked, staged and forgotten; then each table is settled against
what is stored, and all are committed together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

import polars as pl

from epic22.core.errors import ColumnError, FileError, InternalError
from epic22.core.ports import LakeTransaction, Source, TableStore
from epic22.core.progress import Progress
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.tables.decimal_commas import convert_comma_columns, list_comma_columns
from epic22.core.tables.parsing import convert_percent_columns, parse_column, strip_text
from epic22.core.tables.row_contract import check_header, check_rows
from epic22.core.tables.shares import ShareUnit
from epic22.core.tables.versions import IngestCounts, LakeVersion
from epic22.services.ingest_gate import QualityGate, check_arrivals, check_sources, has_arrivals
from epic22.services.share_units import decide_units

EVENT_COLUMNS = {
    "work_orders": "opened_at",
    "payments": "paid_on",
    "charges": "due_on",
    "leases": "signed_on",
    "messages": "sent_at",
    "sensor_readings": "measured_at",
    "ledger": "posted_on",
    "market": "published_at",
    "tenants": "created_at",
}
"""When a row cannot have been known earlier: what `known_at` is taken from where a source does not state it."""


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did. `version` is None where nothing was new; `counts` are by table."""

    version: LakeVersion | None
    counts: Mapping[str, IngestCounts]
    quarantined: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class IngestRequest:
    """Who ingests, when (UTC), and of which moment the sources are a snapshot, `now` where None.

    `gate` compares what comes with what is stored.
    """

    who: str
    now: datetime
    as_of: datetime | None = None
    gate: QualityGate | None = None


def ingest(
    sources: Sequence[Source],
    table_store: TableStore,
    request: IngestRequest,
    progress: Progress = Progress(),
) -> IngestResult:
    """Take the rows of all sources in as one version; each source is a piece of work.

    Raises QualityError where the gate refuses it, ColumnError where a table lacks a column, FileError or SourceError where
    a source cannot be read, LakeError where another ingest is running; then nothing is stored.
    """
    counts: dict[str, IngestCounts] = {}
    with table_store.begin_transaction() as transaction:
        ingestion = _Ingestion(transaction, request.as_of or request.now, progress)
        for table in CANONICAL:
            table_sources = [source for source in sources if source.table.name == table.name]
            if table_sources:
                counts[table.name] = ingestion.ingest_table(table, table_sources)
        if request.gate is not None:
            ingestion.add_notes(*check_sources(transaction, request.gate, request.who))
        if request.gate is not None and has_arrivals(transaction, counts):
            progress.begin("comparing with what is stored", 1)
            checked = check_arrivals(transaction, request.gate, counts, request.as_of, request.who)
            counts = dict(checked.counts)
            ingestion.add_notes(*checked.notes)
        progress.begin("storing", 1)
        version = transaction.commit(request.who, request.as_of, tuple(ingestion.notes))
    quarantined: Counter[str] = Counter()
    for file in version.sources if version else ():
        quarantined[file.table] += file.quarantined
    return IngestResult(version, counts, quarantined, tuple(ingestion.notes))


class KnownAtOrigin(Enum):
    """Where the `known_at` of a source's rows comes from."""

    SOURCE = "the source"
    EVENT = "an event in the row"
    MOMENT = "the moment of the snapshot"


@dataclass(frozen=True)
class _Ingestion:
    """One ingest under way: what it changes, its moment, and what there is to say of it, each note once."""

    transaction: LakeTransaction
    moment: datetime
    progress: Progress
    notes: dict[str, None] = field(default_factory=dict)

    def ingest_table(self, table: CanonicalTable, sources: Sequence[Source]) -> IngestCounts:
        """Check and stage all sources of a table, then settle it against what is stored."""
        references = self.transaction.read_references(table)
        origins = {origin for source in sources if (origin := self._stage_source(source, references)) is not None}
        if KnownAtOrigin.SOURCE in origins and len(origins) > 1:
            raise FileError(f"{table.name}: some files state {KNOWN_AT} and some do not; give it in all of them or in none.")
        moment = None if KnownAtOrigin.SOURCE in origins else self.moment
        is_snapshot = origins == {KnownAtOrigin.MOMENT} and all(source.is_whole for source in sources)
        counts = self.transaction.resolve_rows(table, moment, is_snapshot)
        counts = replace(counts, gone=counts.gone + sum(self._count_gone(source) for source in sources))
        if counts.twice:
            self.add_notes(f"{table.name}: {counts.twice:,} rows came more than once, equal in all, and were taken once")
        return counts

    def _count_gone(self, source: Source) -> int:
        """How many stored rows a source says are gone, with a note of them: they were known, so they stay."""
        keys = source.read_keys()
        if keys is None:
            return 0
        columns = [source.table.get_column(name) for name in source.table.key]
        typed = (pl.DataFrame([parse_column(strip_text(b[c.name]), c).alias(c.name) for c in columns]) for b in keys.batches)
        n_gone = self.transaction.count_gone(source.table, typed, keys.are_deleted)
        if n_gone:
            self.add_notes(f"{source.name}: {n_gone:,} stored rows are gone there; they stay, for they were known")
        return n_gone

    def _stage_source(self, source: Source, references: Mapping[str, pl.DataFrame]) -> KnownAtOrigin | None:
        """Check and stage a source batch by batch; says where its rows' `known_at` comes from, None where it has no rows."""
        self.progress.begin(f"{source.table.name}: …", 1, about=source.name)
        self.add_notes(*(f"{source.name}: {note}" for note in source.notes))
        number = self.transaction.add_source(source.name, source.table)
        origin: KnownAtOrigin | None = None
        units: dict[str, ShareUnit] = {}
        percent: list[str] = []
        commas: tuple[str, ...] | None = None
        rounded = 0
        try:
            for raw_batch in source.batches():
                self.add_notes(*(f"{source.name}: {note}" for note in check_header(source.table, raw_batch.columns)))
                commas = list_comma_columns(source.table, raw_batch) if commas is None else commas
                batch = convert_comma_columns(raw_batch, commas)
                units |= decide_units(self.transaction, source, batch, units)
                percent = [name for name, unit in units.items() if unit == "percent"]
                dated, origin = self._add_known_at(source, convert_percent_columns(batch, percent))
                checked = check_rows(source.table, dated, references)
                rounded += checked.n_rounded
                self.transaction.stage_rows(source.table, number, checked, origin is not KnownAtOrigin.SOURCE)
        except ColumnError as error:
            raise ColumnError(f"{source.name}: {error} Nothing was stored.") from None
        if source.sha256 is None:
            raise InternalError(f"{source.name} has no digest after its last row.")
        self.transaction.complete_source(number, source.sha256, source.position)
        if commas:
            self.add_notes(f"{source.name}: {source.table.name}.{', '.join(commas)} is written with decimal commas")
        self._note_source(source, origin, percent, rounded)
        return origin

    def _add_known_at(self, source: Source, batch: pl.DataFrame) -> tuple[pl.DataFrame, KnownAtOrigin]:
        """The batch with `known_at`, and where that comes from."""
        if KNOWN_AT in batch.columns:
            return batch, KnownAtOrigin.EVENT if source.derived else KnownAtOrigin.SOURCE
        event = EVENT_COLUMNS.get(source.table.name)
        if event is None or event not in batch.columns:
            return batch.with_columns(pl.lit(self.moment, dtype=pl.Datetime("us")).alias(KNOWN_AT)), KnownAtOrigin.MOMENT
        happens = parse_column(strip_text(batch[event]), source.table.get_column(event))
        # What is announced for later, as a charge that falls due next month, is known already: it is there.
        known = happens.clip(upper_bound=self.moment).alias(KNOWN_AT)
        return batch.with_columns(known), KnownAtOrigin.EVENT

    def _note_source(self, source: Source, origin: KnownAtOrigin | None, percent: Sequence[str], rounded: int) -> None:
        if origin is None and source.is_whole:
            self.add_notes(f"{source.name}: gave no row")
        if percent:
            self.add_notes(f"{source.name}: {source.table.name}.{', '.join(percent)} is in percent and was divided by 100")
        if rounded:
            self.add_notes(f"{source.name}: {rounded:,} amounts had more than two decimals and were rounded, half to even")
        if origin is KnownAtOrigin.MOMENT:
            when = f"{self.moment:%Y-%m-%d %H:%M} UTC"
            self.add_notes(f"{source.name}: nothing says when its rows became known; they are known at load, {when}")

    def add_notes(self, *notes: str) -> None:
        """Keep these notes, each once."""
        self.notes.update(dict.fromkeys(notes))
