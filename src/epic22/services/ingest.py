"""Ingest: canonical tables from files into a new version, whole or not at all; broken rows are set apart.

Tables come in the order of their references; every batch is checked, staged and forgotten; then each table is settled against
what is stored, and all are committed together.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import polars as pl

from epic22.core.data.arrival import Incoming
from epic22.core.data.canonical import CANONICAL, KNOWN_AT, CanonicalTable
from epic22.core.data.check import check_header, check_rows
from epic22.core.data.parsing import as_fractions, in_percent, parsed, stripped
from epic22.core.data.versions import LakeVersion, Settled, SourceFile
from epic22.core.errors import ColumnError, FileError
from epic22.core.ports import Change, Versions

EVENTS = {
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
class Ingested:
    """What an ingest did. `version` is None where nothing was new; `counts` are by table."""

    version: LakeVersion | None
    counts: Mapping[str, Settled]
    quarantined: Mapping[str, int]
    notes: tuple[str, ...]


def ingest(
    incoming: Sequence[Incoming],
    versions: Versions,
    who: str,
    now: datetime,
    as_of: datetime | None = None,
    begin: Callable[[str, int], None] = lambda what, steps: None,
) -> Ingested:
    """Take the rows of all sources in as one version. `as_of` is the moment of a snapshot (UTC), `now` where None.

    `begin` is told of every file (what, steps). Raises ColumnError where a table lacks a column, FileError where a file cannot be
    read, LakeError where another ingest is running; then nothing is stored.
    """
    counts: dict[str, Settled] = {}
    with versions.change() as change:
        intake = _Intake(change, as_of or now, begin)
        for table in CANONICAL:
            mine = [source for source in incoming if source.table.name == table.name]
            if mine:
                counts[table.name] = intake.table(table, mine)
        begin("storing", 1)
        version = change.commit(who, as_of, tuple(intake.notes))
    quarantined: Counter[str] = Counter()
    for file in version.sources if version else ():
        quarantined[file.table] += file.quarantined
    return Ingested(version, counts, quarantined, tuple(intake.notes))


class Dating(Enum):
    """Where the `known_at` of a source's rows comes from."""

    STATED = "the source"
    EVENT = "an event in the row"
    MOMENT = "the moment of the snapshot"


@dataclass(frozen=True)
class _Intake:
    """One ingest under way: what it changes, its moment, and what there is to say of it, each note once."""

    change: Change
    moment: datetime
    begin: Callable[[str, int], None]
    notes: dict[str, None] = field(default_factory=dict)

    def table(self, table: CanonicalTable, sources: Sequence[Incoming]) -> Settled:
        """Check and stage all sources of a table, then settle it against what is stored."""
        others = self.change.referred(table)
        datings = {dating for source in sources if (dating := self._source(source, others)) is not None}
        if Dating.STATED in datings and len(datings) > 1:
            raise FileError(f"{table.name}: some files state {KNOWN_AT} and some do not; give it in all of them or in none.")
        moment = None if Dating.STATED in datings else self.moment
        settled = self.change.settle(table, moment, snapshot=datings == {Dating.MOMENT})
        if settled.twice:
            self._note(f"{table.name}: {settled.twice:,} rows came more than once, equal in all, and were taken once")
        return settled

    def _source(self, source: Incoming, others: Mapping[str, pl.DataFrame]) -> Dating | None:
        """Check and stage a file batch by batch; says where its rows' `known_at` comes from, None where it has no rows."""
        self.begin(f"{source.table.name}: {source.name}", 1)
        number = self.change.add_source(SourceFile(source.name, source.sha256, source.table.name, 0, 0))
        dating: Dating | None = None
        percent: tuple[str, ...] | None = None
        rounded = 0
        try:
            for batch in source.batches():
                self._note(*(f"{source.name}: {note}" for note in check_header(source.table, batch.columns)))
                percent = in_percent(source.table, batch) if percent is None else percent
                dated, dating = self._dated(source, as_fractions(batch, percent))
                checked = check_rows(source.table, dated, others)
                rounded += checked.rounded
                self.change.take(source.table, number, checked, dating is not Dating.STATED)
        except ColumnError as error:
            raise ColumnError(f"{source.name}: {error} Nothing was stored.") from None
        self._tell(source, dating, percent or (), rounded)
        return dating

    def _dated(self, source: Incoming, batch: pl.DataFrame) -> tuple[pl.DataFrame, Dating]:
        """The batch with `known_at`, and where that comes from."""
        if KNOWN_AT in batch.columns:
            return batch, Dating.EVENT if source.derived else Dating.STATED
        event = EVENTS.get(source.table.name)
        if event is None or event not in batch.columns:
            return batch.with_columns(pl.lit(self.moment, dtype=pl.Datetime("us")).alias(KNOWN_AT)), Dating.MOMENT
        known = parsed(stripped(batch[event]), source.table.column(event)).alias(KNOWN_AT)
        return batch.with_columns(known), Dating.EVENT

    def _tell(self, source: Incoming, dating: Dating | None, percent: Sequence[str], rounded: int) -> None:
        if percent:
            self._note(f"{source.name}: {source.table.name}.{', '.join(percent)} is in percent and was divided by 100")
        if rounded:
            self._note(f"{source.name}: {rounded:,} amounts had more than two decimals and were rounded, half to even")
        if dating is Dating.MOMENT:
            when = f"{self.moment:%Y-%m-%d %H:%M} UTC"
            self._note(f"{source.name}: nothing says when its rows became known; they are known at load, {when}")

    def _note(self, *notes: str) -> None:
        self.notes.update(dict.fromkeys(notes))
