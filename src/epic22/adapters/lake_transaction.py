"""A change of the versioned tables: rows are staged as Parquet files, settled against what is stored, and committed together."""

import io
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from deltalake import DeltaTable, Schema
from deltalake.transaction import AddAction, RemoveAction
from numpy.typing import NDArray

from epic22.adapters.event_files import EventFiles
from epic22.adapters.file_store import FileStore
from epic22.core.tables.canonical import CANONICAL, KNOWN_AT, CanonicalTable, get_canonical_table
from epic22.core.tables.event_memory import EventMemory
from epic22.core.tables.row_contract import LINE_COLUMN, CheckResult, list_referenced_columns
from epic22.core.tables.rowhash import add_digests, digest_rows, hash_keys, hash_rows
from epic22.core.tables.shares import StoredShares
from epic22.core.tables.versions import (
    REJECTION_REASONS,
    IncomingHashes,
    IngestCounts,
    LakeVersion,
    Position,
    RowOutcome,
    SourceFile,
    TableVersion,
    classify_rows,
    compute_content_id,
)

QUARANTINE, STAGING = "quarantine", ".staging"
BATCH_ROWS = 1_000_000
"""Rows hashed at a time where stored rows are compared with."""
PART_ROWS = 2_000_000
"""Staged rows whose fate is decided at a time; what decides it is equal only within such a part."""
MAX_SORTED_ROWS = 16_000_000
"""Rows whose first lanes are sorted at a time to see whether any two are the same: 128 MB."""
LINE_ROW = 4
FEW_OF = 4
"""Incoming rows are few where stored ones are at least this many times as many."""
MANY_FILES, SMALL_FILE_BYTES = 64, 32 << 20
"""So many files of a table below that size, the leavings of as many batches of a stream, are merged into larger ones."""
EPOCH = datetime(1970, 1, 1)
OLD_EXPORT = timedelta(days=31)
"""An export whose last event lies so long before the day on which it is loaded is not of that day."""
KEEP_ALL_VERSIONS = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
"""Delta would forget versions after a month; ours are kept."""


@dataclass
class StagedBatch:
    """One batch of a table's rows that waits on disk, and beside it the hashes that decide its fate and the lines of its rows."""

    path: Path
    source: int
    digest: int
    rows: int

    @property
    def hashes(self) -> Path:
        """The file of the rows' hashes: five columns of 64 bits, an identity's two lanes, content, `known_at`, line."""
        return self.path.with_suffix(".npy")

    def write_hashes(self, incoming: IncomingHashes, lines: NDArray[np.int64]) -> None:
        """Keep the hashes and lines of the rows beside them."""
        columns = (*incoming.identity, incoming.content, incoming.known_at.view(np.uint64), lines.view(np.uint64))
        np.save(self.hashes, np.stack(columns), allow_pickle=False)

    def read_hashes(self) -> NDArray[np.uint64]:
        """The columns (5, rows)."""
        columns: NDArray[np.uint64] = np.load(self.hashes, allow_pickle=False)
        return columns

    def map_first_lane(self) -> NDArray[np.uint64]:
        """The first lane of the rows' identities (rows,), read when it is looked at."""
        lane: NDArray[np.uint64] = np.load(self.hashes, mmap_mode="r", allow_pickle=False)[0]
        return lane

    def read_lines(self) -> NDArray[np.int64]:
        """Where in their file the rows begin (rows,)."""
        lines: NDArray[np.int64] = self.read_hashes()[LINE_ROW].view(np.int64)
        return lines


@dataclass
class StagedTable:
    """What has been staged of one table."""

    table: CanonicalTable
    batches: list[StagedBatch] = field(default_factory=list)
    broken: list[pl.DataFrame] = field(default_factory=list)
    is_snapshot: bool = False
    """Whether its rows are known at the moment of the ingest, for they say no other."""

    def column(self, name: str) -> pl.LazyFrame:
        """One column of all that is staged; the batches need not have the same columns."""
        return pl.concat([pl.scan_parquet(batch.path).select(name) for batch in self.batches])


class DeltaTransaction:
    """The next version in the making; `commit` makes it one."""

    def __init__(
        self,
        files: FileStore,
        staging: Path,
        parent: LakeVersion | None,
        scan: Callable[[CanonicalTable, TableVersion | None], pl.LazyFrame],
        publish: Callable[[LakeVersion], LakeVersion],
        event_files: EventFiles,
    ) -> None:
        self.files = files
        self.parent = parent
        self.number = parent.number + 1 if parent else 1
        self._scan, self._publish = scan, publish
        self._staging = staging
        self._token = uuid.uuid4().hex[:12]
        self._pending: dict[str, StagedTable] = {}
        self._events, self._horizon = EventMemory.of_nothing(), timedelta()
        self._event_files = event_files
        self._sources: list[SourceFile] = []
        self._positions: dict[str, Position] = dict(parent.positions) if parent else {}
        self.shares: dict[str, StoredShares] = dict(parent.shares) if parent else {}
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(parents=True)
        self._event_files.discard(self.number)

    def clean(self) -> None:
        """Remove what was staged and not committed."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def scan_stored(self, table: str) -> pl.LazyFrame:
        """The table's rows in the parent version."""
        return self._scan(get_canonical_table(table), self._parent_version(table))

    def read_references(self, table: CanonicalTable) -> dict[str, pl.DataFrame]:
        """The latest versions, stored or staged, of the tables referred to: their keys and the columns that rules look at."""
        latest_rows = {}
        for reference in table.references:
            columns = list(dict.fromkeys((reference.column, *list_referenced_columns(table, reference.table), KNOWN_AT)))
            staged = [pl.scan_parquet(batch.path) for batch in self._get_staged(get_canonical_table(reference.table)).batches]
            rows = pl.concat([frame.select(columns) for frame in (self.scan_stored(reference.table), *staged)])
            latest = rows.sort(KNOWN_AT, maintain_order=True).unique(reference.column, keep="last", maintain_order=True)
            latest_rows[reference.table] = latest.collect()
        return latest_rows

    def add_source(self, name: str, table: CanonicalTable) -> int:
        """Name a source whose rows follow; gives its number."""
        self._sources.append(SourceFile(name, "", table.name, 0, 0))
        return len(self._sources) - 1

    def complete_source(self, number: int, sha256: str, position: Position | None) -> None:
        """Note the digest of a source whose rows have all come, and where it goes on next."""
        self._sources[number] = replace(self._sources[number], sha256=sha256)
        if position is not None:
            self._positions[self._sources[number].name] = position

    def note_shares(self, place: str, shares: StoredShares) -> None:
        """Keep with the version in which unit a column of shares (`table.column`) came."""
        self.shares[place] = shares

    def stage_rows(self, table: CanonicalTable, source: int, checked: CheckResult, derived: bool) -> None:
        """Stage checked rows of a source. `derived`: their `known_at` is not stated by the source itself."""
        pending = self._get_staged(table)
        if checked.rejected.height:
            self._quarantine(pending, source, checked.rejected)
        rows = self._sources[source].rows + checked.valid.height + checked.rejected.height
        self._sources[source] = replace(self._sources[source], rows=rows)
        if not checked.valid.height:
            return
        frame = checked.valid.drop(LINE_COLUMN)
        hashes = hash_rows(frame, table.key)
        path = self._staging / f"{table.name}-{self._token}-{len(pending.batches):05d}.parquet"
        frame.write_parquet(path)
        identity, content = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
        batch = StagedBatch(path, source, digest_rows(hashes.whole), frame.height)
        incoming = IncomingHashes(identity, content, frame[KNOWN_AT].to_physical().to_numpy())
        batch.write_hashes(incoming, checked.valid[LINE_COLUMN].to_numpy())
        pending.batches.append(batch)

    def resolve_rows(self, table: CanonicalTable, as_of: datetime | None = None, snapshot: bool = False) -> IngestCounts:
        """Decide what becomes of the table's staged rows; rows that are not new are taken out of what is staged.

        `as_of` where their `known_at` was derived: a row whose key is stored with other content is then known as of that moment.
        `snapshot` where the sources hold the whole table: stored keys that they no longer have are then counted.
        """
        pending = self._get_staged(table)
        pending.is_snapshot = snapshot
        if not pending.batches:
            return IngestCounts()
        overlap = self._scan_overlap(table, pending, as_of is not None)
        # A snapshot is compared with every stored key, to count those that it no longer has.
        alike = overlap if snapshot else self._select_staged_keys(overlap, pending, as_of is not None)
        stored = _hash_stored_rows(alike, table, as_of is not None)
        moment = None if as_of is None else (as_of - EPOCH) // timedelta(microseconds=1)
        fates, gone = _decide_fates(pending.batches, stored, moment)
        for batch, fate in zip(list(pending.batches), fates, strict=True):
            self._apply_fates(pending, batch, fate, as_of)
        counts = sum(np.bincount(fate, minlength=len(RowOutcome)) for fate in fates)
        gone = gone if snapshot else 0
        new, same, changed, redated, ambiguous, conflict, duplicate = np.asarray(counts).tolist()
        return IngestCounts(new, same, changed + redated, ambiguous + conflict, gone, duplicate)

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """What came of each source so far, and how much of it was set apart."""
        return tuple(self._sources)

    def read_arrived(self, table: CanonicalTable) -> pl.DataFrame:
        """The table's staged rows; after `resolve_rows` those that are new."""
        frames = [pl.read_parquet(batch.path) for batch in self._get_staged(table).batches]
        return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema=table.schema)

    def reject_rows(self, table: CanonicalTable, keys: pl.DataFrame, reason: str) -> int:
        """Take staged rows with these keys and `known_at` out and into quarantine; says how many."""
        pending, rejected = self._get_staged(table), 0
        for batch in list(pending.batches):
            frame = pl.read_parquet(batch.path)
            on = [*table.key, KNOWN_AT]
            places = frame.with_row_index("#place").join(keys.select(on), on=on, how="semi")["#place"].to_numpy()
            if not len(places):
                continue
            rows = frame[places].select(pl.struct(pl.all()).struct.json_encode().alias("row"))
            line = pl.Series("line", batch.read_lines()[places])
            self._quarantine(pending, batch.source, rows.select(line, pl.lit(reason).alias("reason"), "row"))
            stays = np.ones(frame.height, dtype=np.bool_)
            stays[places] = False
            _keep_rows(pending, batch, frame, stays)
            rejected += len(places)
        return rejected

    def list_rejected_lines(self, table: CanonicalTable) -> list[int]:
        """The lines of the table's rows that were set apart."""
        return [line for frame in self._get_staged(table).broken for line in frame["line"]]

    def read_event_memory(self) -> EventMemory:
        """The events that the parent and those before it took in."""
        return self._event_files.read(self.parent.number if self.parent else 0)

    def remember_events(self, events: EventMemory, horizon: timedelta) -> None:
        """Keep with the version that these events came; what came so long before the last is forgotten."""
        self._events, self._horizon = events, horizon

    def count_gone(self, table: CanonicalTable, keys: Iterator[pl.DataFrame], are_deleted: bool) -> int:
        """How many stored keys are among these (`are_deleted`), or are not among them, in the table's own types."""
        given = _hash_keys(keys, table)
        stored = self.scan_stored(table.name).select(table.key).collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)
        return _hash_keys(stored, table).join(given, on=["a", "b"], how="semi" if are_deleted else "anti").height

    def commit(self, who: str, end: datetime | None = None, notes: tuple[str, ...] = ()) -> LakeVersion | None:
        """Make it a version: tables first, then quarantine, then the manifest. None where there is nothing new."""
        if not any(p.batches or p.broken for p in self._pending.values()):
            return None
        end = self.compute_end(end)
        tables = {t.name: table_version for t in CANONICAL if (table_version := self._commit_table(t)) is not None}
        self._write_quarantine()
        if self._events.frame.height:
            self._event_files.write(self.number, self._events, self._horizon)
        now = datetime.now(UTC).replace(tzinfo=None)
        parent = self.parent.number if self.parent else None
        identity = compute_content_id(tables)
        version = LakeVersion(self.number, identity, tables, tuple(self._sources), who, now, parent, end, notes=notes)
        published = self._publish(replace(version, positions=self._positions, shares=self.shares))
        if self._events.frame.height:
            self._event_files.complete(self.number, self._events, self._horizon)
        return published

    def _get_staged(self, table: CanonicalTable) -> StagedTable:
        return self._pending.setdefault(table.name, StagedTable(table))

    def _parent_version(self, table: str) -> TableVersion | None:
        return self.parent.tables.get(table) if self.parent else None

    def _quarantine(self, pending: StagedTable, source: int, broken: pl.DataFrame) -> None:
        entry = self._sources[source]
        self._sources[source] = replace(entry, quarantined=entry.quarantined + broken.height)
        place = [pl.lit(pending.table.name).alias("table"), pl.lit(entry.name).alias("file")]
        pending.broken.append(broken.select(*place, "line", "reason", "row"))

    def _scan_overlap(self, table: CanonicalTable, pending: StagedTable, derived: bool) -> pl.LazyFrame:
        """The stored rows in the time range of the incoming ones, by a time that is part of their identity; all without one."""
        rows = self.scan_stored(table.name)
        parent_version = self._parent_version(table.name)
        times = [name for name in table.key if table.get_column(name).dtype == "time"] if derived else [KNOWN_AT]
        if parent_version is None or not parent_version.rows or not times:
            return rows
        time = pl.col(times[0])
        staged = pending.column(times[0])
        low, high = staged.select(time.min().alias("low"), time.max().alias("high")).collect().row(0)
        return rows.filter(time.is_between(low, high))

    def _select_staged_keys(self, rows: pl.LazyFrame, pending: StagedTable, derived: bool) -> pl.LazyFrame:
        """Those of the stored rows whose key is staged, where few are: hashing all would take longer than finding these."""
        parent_version = self._parent_version(pending.table.name)
        n_staged = sum(batch.rows for batch in pending.batches)
        if parent_version is None or n_staged * FEW_OF > parent_version.rows:
            return rows
        key = [*pending.table.key, *([] if derived else [KNOWN_AT])]
        staged = pl.concat([pl.scan_parquet(batch.path).select(key) for batch in pending.batches])
        return rows.join(staged, on=key, how="semi", nulls_equal=True)

    def _apply_fates(self, pending: StagedTable, batch: StagedBatch, fate: NDArray[np.uint8], as_of: datetime | None) -> None:
        """Take the rows out of the staged file that are not new, and date those that changed."""
        if not fate.any():
            return
        frame, lines = pl.read_parquet(batch.path), batch.read_lines()
        for code, reason in REJECTION_REASONS.items():
            hit = fate == code
            if hit.any():
                rows = frame.filter(hit).select(pl.struct(pl.all()).struct.json_encode().alias("row"))
                rejected_rows = rows.select(pl.Series("line", lines[hit]), pl.lit(reason).alias("reason"), "row")
                self._quarantine(pending, batch.source, rejected_rows)
        if as_of is not None:
            redated = pl.Series(fate == RowOutcome.REDATED)
            frame = frame.with_columns(
                pl.when(redated).then(pl.lit(as_of, dtype=pl.Datetime("us"))).otherwise(KNOWN_AT).alias(KNOWN_AT)
            )
        _keep_rows(pending, batch, frame, np.isin(fate, (RowOutcome.NEW, RowOutcome.CHANGED, RowOutcome.REDATED)))

    def compute_end(self, requested_end: datetime | None) -> datetime:
        """The midnight after the last event known, today's at the latest, or what was stated; never before the parent's.

        A snapshot of things, as of equipment, is no event where the others are long past: nobody saw what happened since.
        """
        candidates = [] if self.parent is None else [self.parent.end]
        if requested_end is not None:
            return max([requested_end, *candidates])
        filled = [pending for pending in self._pending.values() if pending.batches]
        events = [pending for pending in filled if pending.table.event_at != KNOWN_AT]
        candidates += [self._compute_last_midnight(pending) for pending in events if not pending.is_snapshot]
        seen = max(candidates, default=None)
        for pending in [pending for pending in events if pending.is_snapshot] if events else filled:
            last = self._compute_last_midnight(pending)
            candidates += [last] if seen is None or last - seen < OLD_EXPORT else []
        return max(candidates, default=EPOCH)

    def _compute_last_midnight(self, pending: StagedTable) -> datetime:
        last = pending.column(KNOWN_AT).max().collect().item()
        return min(_next_midnight(last), _next_midnight(datetime.now(UTC)))

    def _commit_table(self, table: CanonicalTable) -> TableVersion | None:
        parent_version, pending = self._parent_version(table.name), self._pending.get(table.name)
        batches = pending.batches if pending else []
        if not batches:
            return parent_version and replace(parent_version, added=0)
        schema, folder = _merge_schema(table, batches), (parent_version and parent_version.folder) or table.name
        delta = _open_table(self.files, folder, schema, parent_version.delta_version if parent_version else 0)
        actions: list[AddAction | RemoveAction] = [_move_file_in(self.files, folder, batch) for batch in batches]
        delta.create_write_transaction(actions, "append", delta.schema())
        rows = sum(batch.rows for batch in batches)
        before = int(parent_version.digest, 16) if parent_version else 0
        total = add_digests([before, *(batch.digest for batch in batches)])
        version = TableVersion(_merge_small_files(open_delta(self.files, folder)), rows, rows, f"{total:032x}")
        return replace(version, rows=parent_version.rows + rows, folder=parent_version.folder) if parent_version else version

    def _write_quarantine(self) -> None:
        folder = f"{QUARANTINE}/{self.number:08d}"
        self.files.remove(folder)
        broken = {name: pending.broken for name, pending in self._pending.items() if pending.broken}
        for name, frames in broken.items():
            content = io.BytesIO()
            pl.concat(frames).write_parquet(content)
            self.files.write(f"{folder}/{name}.parquet", content.getvalue())


def _hash_stored_rows(rows: pl.LazyFrame, table: CanonicalTable, derived: bool) -> pl.DataFrame:
    """Stored rows that incoming ones could be the same as: [a, b, content, known_at], one row an identity."""
    schema = {"a": pl.UInt64, "b": pl.UInt64, "content": pl.UInt64, "known_at": pl.Int64}
    parts = [pl.DataFrame(schema=schema)]
    for batch in rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=False):
        hashes = hash_rows(batch, table.key)
        (a, b), c = (hashes.key, hashes.content[0]) if derived else (hashes.version, hashes.whole[0])
        parts.append(pl.DataFrame({"a": a, "b": b, "content": c, "known_at": batch[KNOWN_AT].to_physical()}))
    stored_hashes = pl.concat(parts)
    return stored_hashes.sort("known_at").unique(["a", "b"], keep="last") if derived else stored_hashes


def _decide_fates(batches: Sequence[StagedBatch], stored: pl.DataFrame, as_of: int | None) -> tuple[list[NDArray[np.uint8]], int]:
    """What becomes of the rows of each batch, and how many stored keys are not among them; so many rows in memory at a time."""
    fates = [np.zeros(batch.rows, dtype=np.uint8) for batch in batches]
    if not stored.height and _are_distinct(batches):
        return fates, 0
    n_parts = max(1, -(-sum(batch.rows for batch in batches) // PART_ROWS))
    gone = 0
    for part in range(n_parts):
        places, pieces = [], []
        for batch in batches:
            hashes = batch.read_hashes()
            places.append(np.flatnonzero(hashes[0] % np.uint64(n_parts) == part))
            pieces.append(hashes[:LINE_ROW, places[-1]])
        a, b, content, known_at = np.concatenate(pieces, axis=1)
        alike = stored.filter(pl.col("a") % n_parts == part)
        outcome = classify_rows(IncomingHashes((a, b), content, known_at.view(np.int64)), alike, as_of)
        gone += alike.join(pl.DataFrame({"a": a, "b": b}), on=["a", "b"], how="anti").height
        for fate, place, own in zip(fates, places, np.split(outcome, np.cumsum([len(one) for one in places])[:-1]), strict=True):
            fate[place] = own
    return fates, gone


def _are_distinct(batches: Sequence[StagedBatch]) -> bool:
    """Whether no two rows of the batches have the same first lane, and so none the same identity."""
    lanes = [batch.map_first_lane() for batch in batches]
    n_parts = max(1, -(-sum(batch.rows for batch in batches) // MAX_SORTED_ROWS))
    for part in range(n_parts):
        ordered = np.concatenate([lane if n_parts == 1 else lane[lane % np.uint64(n_parts) == part] for lane in lanes])
        ordered.sort()
        if bool((ordered[1:] == ordered[:-1]).any()):
            return False
    return True


def _keep_rows(pending: StagedTable, batch: StagedBatch, frame: pl.DataFrame, stays: NDArray[np.bool_]) -> None:
    """Leave these of a staged batch's rows; a batch without rows is no longer staged."""
    rows = frame.filter(stays)
    if not rows.height:
        pending.batches.remove(batch)
        return
    rows.write_parquet(batch.path)
    np.save(batch.hashes, batch.read_hashes()[:, stays], allow_pickle=False)
    batch.rows = rows.height
    batch.digest = digest_rows(hash_rows(rows, pending.table.key).whole)


def _hash_keys(batches: Iterator[pl.DataFrame], table: CanonicalTable) -> pl.DataFrame:
    """The keys of rows, each once: [a, b]."""
    parts = [pl.DataFrame(schema={"a": pl.UInt64, "b": pl.UInt64})]
    parts += [pl.DataFrame(dict(zip("ab", hash_keys(batch, table.key), strict=True))) for batch in batches]
    return pl.concat(parts).unique()


def _next_midnight(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, moment.day) + timedelta(days=1)


def _merge_schema(table: CanonicalTable, batches: list[StagedBatch]) -> Schema:
    """The table's columns, and those beyond that its batches bring."""
    columns = dict(table.schema)
    for batch in batches:
        columns |= pl.read_parquet_schema(batch.path)
    return Schema.from_arrow(pl.DataFrame(schema=columns).to_arrow(compat_level=pl.CompatLevel.oldest()).schema)


def open_delta(files: FileStore, folder: str, version: int | None = None) -> DeltaTable:
    """The Delta table in a folder, at a version, the newest where None."""
    options = files.delta_options
    return DeltaTable(files.locate(folder), version=version, storage_options=None if options is None else dict(options))


def has_delta(files: FileStore, folder: str) -> bool:
    """Whether a Delta table is there."""
    options = files.delta_options
    return bool(DeltaTable.is_deltatable(files.locate(folder), storage_options=None if options is None else dict(options)))


def _open_table(files: FileStore, folder: str, schema: Schema, version: int) -> DeltaTable:
    """The Delta table at that version: made where there is none, taken back where a killed ingest had gone further."""
    if not has_delta(files, folder):
        files.remove(folder)
        options = files.delta_options
        place, settings = files.locate(folder), None if options is None else dict(options)
        return DeltaTable.create(place, schema=schema, configuration=KEEP_ALL_VERSIONS, storage_options=settings)
    delta = open_delta(files, folder)
    if delta.version() != version:
        delta.restore(version)
        delta = open_delta(files, folder)
    existing = {field.name for field in delta.schema().fields}
    fresh = [field for field in schema.fields if field.name not in existing]
    if fresh:
        delta.alter.add_columns(fresh)
        delta = open_delta(files, folder)
    return delta


def _merge_small_files(delta: DeltaTable) -> int:
    """The newest version of a table after its small files were merged, where there are many: each is opened at every read."""
    sizes = pl.DataFrame(delta.get_add_actions(flatten=True))["size_bytes"]
    if (sizes < SMALL_FILE_BYTES).sum() > MANY_FILES:
        delta.optimize.compact(target_size=SMALL_FILE_BYTES, max_concurrent_tasks=1)
    return int(delta.version())


def _move_file_in(files: FileStore, folder: str, batch: StagedBatch) -> AddAction:
    size, moment = files.move_in(batch.path, f"{folder}/{batch.path.name}")
    return AddAction(batch.path.name, size, {}, moment, True, json.dumps({"numRecords": batch.rows}))
