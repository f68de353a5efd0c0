"""Events into versions: a batch of a stream becomes one data version, in which each event counts once.

The rows pass the contracts of their tables as those of files do; what is broken is set apart with its reason. Which events came
before is decided inside the transaction that stores them, and stored with it: whatever ends a consumer, an event is in the tables
and remembered, or neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import polars as pl

from epic22.core.errors import EventError
from epic22.core.lineage import sha256
from epic22.core.ports import LakeTransaction, TableStore
from epic22.core.quality.checks import QualityRules
from epic22.core.tables.canonical import CANONICAL, CanonicalTable
from epic22.core.tables.event_memory import EventMemory, digest_events, name_event
from epic22.core.tables.events import (
    EVENTS,
    ArrivedEvent,
    Event,
    build_event_rows,
    find_future_times,
    read_event,
    shorten_content,
)
from epic22.core.tables.row_contract import LINE_COLUMN, REJECTED_SCHEMA, CheckResult, check_rows
from epic22.core.tables.versions import LakeVersion
from epic22.services.ingest import EVENT_COLUMNS
from epic22.services.ingest_gate import reject_reused_keys

DEFAULT_HORIZON = timedelta(days=7)
ANNOUNCED = ("charges",)
"""Tables whose rows tell of what is to come, such as a charge that falls due: their time may lie ahead."""
DIFFERS = "the id of this event came before with other content, and the first counts; a correction is an event of its own id"


@dataclass(frozen=True)
class EventRequest:
    """Who takes events in, from where, and how long an id is remembered after its event came."""

    who: str
    source: str
    horizon: timedelta = DEFAULT_HORIZON


@dataclass(frozen=True)
class EventResult:
    """What became of a batch: `version` is None where nothing was new. Of the events that arrived, some were stored, some came
    before and count once, some were set apart."""

    version: LakeVersion | None
    arrived: int
    stored: int
    repeated: int
    rejected: int


@dataclass(frozen=True)
class EventBatch:
    """Events as they came, read: of each what it says, or why it says nothing."""

    arrived: Sequence[ArrivedEvent]
    events: Sequence[Event | None]
    reasons: Sequence[str]

    @cached_property
    def digests(self) -> pl.DataFrame:
        """Frame [line, a, b, content, arrived], a row an event, its line from 1."""
        pairs = list(zip(self.events, self.arrived, strict=True))
        ids = [name_event(event, came.content) for event, came in pairs]
        contents = [came.content if event is None else event.content for event, came in pairs]
        return digest_events(ids, contents, [came.arrived for came in self.arrived]).with_row_index("line", offset=1)

    @cached_property
    def tables(self) -> Sequence[str]:
        """The table of each event; EVENTS of one that cannot be read."""
        return [EVENTS.name if event is None else event.table for event in self.events]

    def select_lines(self, lines: Sequence[int], table: CanonicalTable) -> list[int]:
        """Those of the lines whose event is of that table."""
        return [line for line in lines if self.tables[line - 1] == table.name]

    def get_event(self, line: int) -> Event:
        """What the event in a line says."""
        event = self.events[line - 1]
        assert event is not None
        return event


def read_batch(arrived: Sequence[ArrivedEvent]) -> EventBatch:
    """The events, read; none is refused."""
    events: list[Event | None] = []
    reasons: list[str] = []
    for came in arrived:
        event, reason = None, ""
        try:
            event = read_event(came.content, came.table)
        except EventError as error:
            reason = str(error)
        events.append(event)
        reasons.append(reason)
    return EventBatch(arrived, events, reasons)


def ingest_events(arrived: Sequence[ArrivedEvent], table_store: TableStore, request: EventRequest) -> EventResult:
    """Take a batch of events in as one version.

    Raises LakeBusyError while another process changes the tables, StorageError where they cannot be written; then nothing is
    stored.
    """
    batch = read_batch(arrived)
    with table_store.begin_transaction() as transaction:
        ingestion = _EventIngestion(transaction, batch, request, _sort_events(batch, transaction.read_event_memory()))
        ingestion.reject_unread()
        present = set(batch.tables)
        for table in CANONICAL:
            if table.name in present:
                ingestion.ingest_table(table)
        transaction.remember_events(ingestion.build_memory(), request.horizon)
        notes = (f"{ingestion.n_repeated:,} events came again and count once",) if ingestion.n_repeated else ()
        version = transaction.commit(request.who, None, notes)
    return EventResult(version, len(arrived), ingestion.n_stored, ingestion.n_repeated, len(ingestion.rejected))


@dataclass(frozen=True)
class SortedEvents:
    """The lines of a batch by what is to be done with each: `fresh` ones state something; of `again` the same was set apart
    before; `differing` ones contradict what counts; `repeated` counts those that say what counts already."""

    fresh: Sequence[int]
    again: frozenset[int]
    differing: Sequence[int]
    repeated: int


def _sort_events(batch: EventBatch, memory: EventMemory) -> SortedEvents:
    identity = ["a", "b"]
    first = pl.col("line").first().over(identity).alias("first")
    rows = memory.find_earlier(batch.digests.with_columns(first, pl.col("content").first().over(identity).alias("first content")))
    counted = pl.col("counts before").fill_null(value=False)
    is_repetition = counted | (pl.col("line") != pl.col("first"))
    says = pl.when(counted).then("content before").otherwise("first content")
    is_equal = pl.col("content") == says
    was_rejected = (~pl.col("counts before") & (pl.col("content") == pl.col("content before"))).fill_null(value=False)
    fresh = rows.filter(~is_repetition)
    differing = rows.filter(is_repetition & ~is_equal)["line"].to_list()
    # What contradicts is remembered by all of its content, so that it is set apart once however often it comes.
    known = _find_contradictions(batch, differing, memory)
    return SortedEvents(
        fresh["line"].to_list(),
        frozenset(fresh.filter(was_rejected)["line"].to_list()),
        [line for line in differing if line not in known],
        rows.filter(is_repetition & is_equal).height + len(known),
    )


def _find_contradictions(batch: EventBatch, lines: Sequence[int], memory: EventMemory) -> frozenset[int]:
    """Those of the lines whose whole content was set apart before."""
    if not lines:
        return frozenset()
    seen = memory.find_earlier(_digest_contents(batch, lines))
    return frozenset(line for line, counts in zip(lines, seen["counts before"], strict=True) if counts is not None)


def _digest_contents(batch: EventBatch, lines: Sequence[int]) -> pl.DataFrame:
    """The digests of events by all of their content."""
    came = [batch.arrived[line - 1] for line in lines]
    contents = [one.content for one in came]
    return digest_events([name_event(None, content) for content in contents], contents, [one.arrived for one in came])


@dataclass
class _EventIngestion:
    """A batch under way into a version."""

    transaction: LakeTransaction
    batch: EventBatch
    request: EventRequest
    sorted: SortedEvents
    n_stored: int = 0
    n_repeated: int = 0
    rejected: set[int] = field(default_factory=set)
    unmended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.n_repeated = self.sorted.repeated

    def reject_unread(self) -> None:
        """Set the events apart that cannot be read."""
        lines = self.batch.select_lines(self.sorted.fresh, EVENTS)
        if not lines:
            return
        reasons = {line: self.batch.reasons[line - 1] for line in lines}
        valid = pl.DataFrame(schema={**EVENTS.schema, LINE_COLUMN: pl.Int64()})
        self._stage(EVENTS, lines, CheckResult(valid, self._build_rejected(reasons)))

    def ingest_table(self, table: CanonicalTable) -> None:
        """Check and stage the events of a table, then settle them against what is stored."""
        lines = self.batch.select_lines(self.sorted.fresh, table)
        differing = self.batch.select_lines(self.sorted.differing, table)
        if not lines and not differing:
            return
        arrived = [self.batch.arrived[line - 1].arrived for line in lines]
        rows = build_event_rows(table, [self.batch.get_event(line) for line in lines], lines, arrived)
        past_column = None if table.name in ANNOUNCED else EVENT_COLUMNS.get(table.name)
        future = find_future_times(table, rows, arrived, past_column)
        checked = check_rows(table, rows.filter(future.is_null()), self.transaction.read_references(table), 1.0)
        reasons = dict(zip(lines, future, strict=True)) | dict.fromkeys(differing, DIFFERS)
        reasons = {line: reason for line, reason in reasons.items() if reason is not None}
        reasons |= dict(zip(checked.rejected["line"], checked.rejected["reason"], strict=True))
        self._stage(table, [*lines, *differing], CheckResult(checked.valid, self._build_rejected(reasons)))
        counts = self.transaction.resolve_rows(table)
        n_reused = reject_reused_keys(self.transaction, QualityRules(), table, counts).quarantined - counts.quarantined
        self.n_stored += counts.new + counts.changed - n_reused
        self.n_repeated += counts.same + counts.twice
        self.rejected |= set(self.transaction.list_rejected_lines(table))

    def _stage(self, table: CanonicalTable, lines: Sequence[int], checked: CheckResult) -> None:
        number = self.transaction.add_source(self.request.source, table)
        self.transaction.stage_rows(table, number, checked, derived=False)
        self.transaction.complete_source(number, sha256(*(self.batch.arrived[line - 1].content for line in lines)), None)
        self.rejected |= set(self.transaction.list_rejected_lines(table))

    def _build_rejected(self, reasons: dict[int, str]) -> pl.DataFrame:
        """The frame [line, reason, row] of events to be set apart, but for those that are there already."""
        still = {line for line in reasons if line in self.sorted.again}
        self.unmended |= still
        self.n_repeated += len(still)
        lines = sorted(reasons.keys() - still)
        texts = [shorten_content(self.batch.arrived[line - 1].content) for line in lines]
        columns = {"line": lines, "reason": [reasons[line] for line in lines], "row": texts}
        return pl.DataFrame(columns, schema=REJECTED_SCHEMA)

    def build_memory(self) -> EventMemory:
        """What is to be remembered of the batch."""
        lines = pl.Series("line", self.sorted.fresh, dtype=pl.UInt32)
        apart = pl.Series(sorted(self.rejected | self.unmended), dtype=pl.UInt32)
        fresh = self.batch.digests.filter(pl.col("line").is_in(lines.implode()))
        fresh = fresh.with_columns(~pl.col("line").is_in(apart.implode()).alias("counts")).drop("line")
        contradictions = _digest_contents(self.batch, self.sorted.differing).with_columns(pl.lit(False).alias("counts"))
        return EventMemory(pl.concat([fresh, contradictions]))
