"""A change of the versioned tables: rows are staged as Parquet files, settled against what is stored, and committed together."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction
from numpy.typing import NDArray

from epic22.core.data.canonical import CANONICAL, KNOWN_AT, CanonicalTable, canonical_table
from epic22.core.data.check import LINE, Checked, referred_columns
from epic22.core.data.rowhash import added, digest, hash_rows
from epic22.core.data.versions import REASONS, Arrival, Fate, LakeVersion, Settled, SourceFile, TableVersion, content_id, fates

BATCH = 1_000_000
"""Rows hashed at a time where stored rows are compared with."""
EPOCH = datetime(1970, 1, 1)
FOREVER = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
"""Delta would forget versions after a month; ours are kept."""


@dataclass
class Staged:
    """One batch of a table's rows that waits on disk, with the hashes that decide its fate."""

    path: Path
    source: int
    lines: NDArray[np.int64]
    arrival: Arrival
    digest: int
    rows: int


@dataclass
class Pending:
    """What has been staged of one table."""

    table: CanonicalTable
    batches: list[Staged] = field(default_factory=list)
    broken: list[pl.DataFrame] = field(default_factory=list)

    def column(self, name: str) -> pl.LazyFrame:
        """One column of all that is staged; the batches need not have the same columns."""
        return pl.concat([pl.scan_parquet(batch.path).select(name) for batch in self.batches])


class Change:
    """The next version in the making; `commit` makes it one."""

    def __init__(
        self,
        root: Path,
        parent: LakeVersion | None,
        scan: Callable[[CanonicalTable, TableVersion | None], pl.LazyFrame],
        publish: Callable[[LakeVersion], LakeVersion],
    ) -> None:
        self.root = root
        self.parent = parent
        self.number = parent.number + 1 if parent else 1
        self._scan, self._publish = scan, publish
        self._staging = root / ".staging"
        self._token = uuid.uuid4().hex[:12]
        self._pending: dict[str, Pending] = {}
        self._sources: list[SourceFile] = []
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir()

    def clean(self) -> None:
        """Remove what was staged and not committed."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def stored(self, table: str) -> pl.LazyFrame:
        """The table's rows in the parent version."""
        return self._scan(canonical_table(table), self._held(table))

    def referred(self, table: CanonicalTable) -> dict[str, pl.DataFrame]:
        """The latest versions, stored or staged, of the tables referred to: their keys and the columns that rules look at."""
        found = {}
        for reference in table.references:
            columns = list(dict.fromkeys((reference.column, *referred_columns(table, reference.table), KNOWN_AT)))
            staged = [pl.scan_parquet(batch.path) for batch in self._of(canonical_table(reference.table)).batches]
            rows = pl.concat([frame.select(columns) for frame in (self.stored(reference.table), *staged)])
            latest = rows.sort(KNOWN_AT, maintain_order=True).unique(reference.column, keep="last", maintain_order=True)
            found[reference.table] = latest.collect()
        return found

    def add_source(self, source: SourceFile) -> int:
        """Name a file whose rows follow; gives its number."""
        self._sources.append(source)
        return len(self._sources) - 1

    def take(self, table: CanonicalTable, source: int, checked: Checked, derived: bool) -> None:
        """Stage checked rows of a source. `derived`: their `known_at` is not stated by the source itself."""
        pending = self._of(table)
        if checked.broken.height:
            self._set_apart(pending, source, checked.broken)
        rows = self._sources[source].rows + checked.kept.height + checked.broken.height
        self._sources[source] = replace(self._sources[source], rows=rows)
        if not checked.kept.height:
            return
        frame = checked.kept.drop(LINE)
        hashes = hash_rows(frame, table.key)
        path = self._staging / f"{table.name}-{self._token}-{len(pending.batches):05d}.parquet"
        frame.write_parquet(path)
        identity, content = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
        arrival = Arrival(identity, content, frame[KNOWN_AT].to_physical().to_numpy())
        lines = checked.kept[LINE].to_numpy()
        pending.batches.append(Staged(path, source, lines, arrival, digest(hashes.whole), frame.height))

    def settle(self, table: CanonicalTable, as_of: datetime | None = None, snapshot: bool = False) -> Settled:
        """Decide what becomes of the table's staged rows; rows that are not new are taken out of what is staged.

        `as_of` where their `known_at` was derived: a row whose key is stored with other content is then known as of that moment.
        `snapshot` where the sources hold the whole table: stored keys that they no longer have are then counted.
        """
        pending = self._of(table)
        if not pending.batches:
            return Settled()
        rows = _together([batch.arrival for batch in pending.batches])
        stored = self._stored_hashes(table, pending, as_of is not None)
        fate = fates(rows, stored, None if as_of is None else _microseconds(as_of))
        at = 0
        for batch in list(pending.batches):
            self._amend(pending, batch, fate[at : at + batch.rows], as_of)
            at += len(batch.lines)
        counts = np.bincount(fate, minlength=len(Fate))
        here = pl.DataFrame({"a": rows.identity[0], "b": rows.identity[1]})
        gone = stored.join(here, on=["a", "b"], how="anti").height if snapshot else 0
        changed, bad = counts[Fate.CHANGED] + counts[Fate.REDATED], counts[Fate.AMBIGUOUS] + counts[Fate.OTHERWISE]
        return Settled(int(counts[Fate.NEW]), int(counts[Fate.SAME]), int(changed), int(bad), gone, int(counts[Fate.TWICE]))

    def commit(self, who: str, end: datetime | None = None, notes: tuple[str, ...] = ()) -> LakeVersion | None:
        """Make it a version: tables first, then quarantine, then the manifest. None where there is nothing new."""
        if not any(p.batches or p.broken for p in self._pending.values()):
            return None
        end = self._end(end)
        tables = {t.name: held for t in CANONICAL if (held := self._commit_table(t)) is not None}
        self._keep_quarantine()
        now = datetime.now(UTC).replace(tzinfo=None)
        parent = self.parent.number if self.parent else None
        identity = content_id(tables)
        return self._publish(LakeVersion(self.number, identity, tables, tuple(self._sources), who, now, parent, end, notes=notes))

    def _of(self, table: CanonicalTable) -> Pending:
        return self._pending.setdefault(table.name, Pending(table))

    def _held(self, table: str) -> TableVersion | None:
        return self.parent.tables.get(table) if self.parent else None

    def _set_apart(self, pending: Pending, source: int, broken: pl.DataFrame) -> None:
        entry = self._sources[source]
        self._sources[source] = replace(entry, quarantined=entry.quarantined + broken.height)
        place = [pl.lit(pending.table.name).alias("table"), pl.lit(entry.name).alias("file")]
        pending.broken.append(broken.select(*place, "line", "reason", "row"))

    def _stored_hashes(self, table: CanonicalTable, pending: Pending, derived: bool) -> pl.DataFrame:
        """Stored rows that incoming ones could be the same as: [a, b, content, known_at], one row an identity."""
        schema = {"a": pl.UInt64, "b": pl.UInt64, "content": pl.UInt64, "known_at": pl.Int64}
        parts = [pl.DataFrame(schema=schema)]
        for batch in self._overlap(table, pending, derived).collect_batches(chunk_size=BATCH, maintain_order=False):
            hashes = hash_rows(batch, table.key)
            (a, b), c = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
            parts.append(pl.DataFrame({"a": a, "b": b, "content": c, "known_at": batch[KNOWN_AT].to_physical()}))
        found = pl.concat(parts)
        return found.sort("known_at").unique(["a", "b"], keep="last") if derived else found

    def _overlap(self, table: CanonicalTable, pending: Pending, derived: bool) -> pl.LazyFrame:
        """The stored rows in the time range of the incoming ones, by a time that is part of their identity; all without one."""
        rows = self.stored(table.name)
        held = self._held(table.name)
        times = [name for name in table.key if table.column(name).dtype == "time"] if derived else [KNOWN_AT]
        if held is None or not held.rows or not times:
            return rows
        time = pl.col(times[0])
        staged = pending.column(times[0])
        low, high = staged.select(time.min().alias("low"), time.max().alias("high")).collect().row(0)
        return rows.filter(time.is_between(low, high))

    def _amend(self, pending: Pending, batch: Staged, fate: NDArray[np.uint8], as_of: datetime | None) -> None:
        """Take the rows out of the staged file that are not new, and date those that changed."""
        if not fate.any():
            return
        frame = pl.read_parquet(batch.path)
        for code, reason in REASONS.items():
            hit = fate == code
            if hit.any():
                rows = frame.filter(hit).select(pl.struct(pl.all()).struct.json_encode().alias("row"))
                told = rows.select(pl.Series("line", batch.lines[hit]), pl.lit(reason).alias("reason"), "row")
                self._set_apart(pending, batch.source, told)
        if as_of is not None:
            redated = pl.Series(fate == Fate.REDATED)
            frame = frame.with_columns(
                pl.when(redated).then(pl.lit(as_of, dtype=pl.Datetime("us"))).otherwise(KNOWN_AT).alias(KNOWN_AT)
            )
        kept = frame.filter(np.isin(fate, (Fate.NEW, Fate.CHANGED, Fate.REDATED)))
        if not kept.height:
            pending.batches.remove(batch)
            return
        kept.write_parquet(batch.path)
        batch.rows = kept.height
        batch.digest = digest(hash_rows(kept, pending.table.key).whole)

    def _end(self, stated: datetime | None) -> datetime:
        """The midnight after the last event known, today's at the latest, or what was stated; never before the parent's."""
        candidates = [] if self.parent is None else [self.parent.end]
        if stated is not None:
            return max([stated, *candidates])
        today = _midnight_after(datetime.now(UTC))
        filled = [pending for pending in self._pending.values() if pending.batches]
        events = [pending for pending in filled if pending.table.event_at != KNOWN_AT]
        for pending in events or filled:
            last = pending.column(KNOWN_AT).max().collect().item()
            candidates.append(min(_midnight_after(last), today))
        return max(candidates, default=EPOCH)

    def _commit_table(self, table: CanonicalTable) -> TableVersion | None:
        held, pending = self._held(table.name), self._pending.get(table.name)
        batches = pending.batches if pending else []
        if not batches:
            return held and TableVersion(held.delta_version, held.rows, 0, held.digest)
        place = self.root / table.name
        delta = _opened(place, _schema(table, batches), held.delta_version if held else 0)
        actions: list[AddAction | RemoveAction] = [_moved_in(batch, place) for batch in batches]
        delta.create_write_transaction(actions, "append", delta.schema())
        rows = sum(batch.rows for batch in batches)
        before = int(held.digest, 16) if held else 0
        total = added([before, *(batch.digest for batch in batches)])
        version = DeltaTable(place).version()
        return TableVersion(version, rows + (held.rows if held else 0), rows, f"{total:032x}")

    def _keep_quarantine(self) -> None:
        place = self.root / "quarantine" / f"{self.number:08d}"
        shutil.rmtree(place, ignore_errors=True)
        broken = {name: pending.broken for name, pending in self._pending.items() if pending.broken}
        if broken:
            place.mkdir(parents=True)
        for name, frames in broken.items():
            pl.concat(frames).write_parquet(place / f"{name}.parquet")


def _together(arrivals: list[Arrival]) -> Arrival:
    a, b = (np.concatenate([one.identity[lane] for one in arrivals]) for lane in (0, 1))
    return Arrival((a, b), np.concatenate([one.content for one in arrivals]), np.concatenate([one.known_at for one in arrivals]))


def _midnight_after(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, moment.day) + timedelta(days=1)


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _schema(table: CanonicalTable, batches: list[Staged]) -> Schema:
    """The table's columns, and those beyond that its batches bring."""
    found = dict(table.schema)
    for batch in batches:
        found |= pl.read_parquet_schema(batch.path)
    return Schema.from_arrow(pl.DataFrame(schema=found).to_arrow(compat_level=pl.CompatLevel.oldest()).schema)


def _opened(place: Path, schema: Schema, version: int) -> DeltaTable:
    """The Delta table at that version: made where there is none, taken back where a killed ingest had gone further."""
    if not DeltaTable.is_deltatable(str(place)):
        shutil.rmtree(place, ignore_errors=True)
        return DeltaTable.create(place, schema=schema, configuration=FOREVER)
    delta = DeltaTable(place)
    if delta.version() != version:
        delta.restore(version)
        delta = DeltaTable(place)
    known = {field.name for field in delta.schema().fields}
    fresh = [field for field in schema.fields if field.name not in known]
    if fresh:
        delta.alter.add_columns(fresh)
        delta = DeltaTable(place)
    return delta


def _moved_in(batch: Staged, place: Path) -> AddAction:
    target = place / batch.path.name
    os.replace(batch.path, target)
    stats = json.dumps({"numRecords": batch.rows})
    return AddAction(target.name, target.stat().st_size, {}, int(target.stat().st_mtime * 1000), True, stats)
