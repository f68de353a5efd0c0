"""The receipts of answers given: JSON lines in EPIC22_HOME/receipts, a file a day (UTC), only ever added to.

What a server answers is written by a thread of its own every second: a process that is killed loses the last second's receipts.
Those of a time in which nothing can be written wait in memory until it can be, as many as MAX_PENDING; what is more is lost, and
so is what still waits when the process ends, counted and logged. The answers themselves are never kept waiting.
"""

import fcntl
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Protocol

import structlog

from epic22.adapters.home import write_atomically
from epic22.core.errors import RefusedContentError, StorageError, describe_storage_fault
from epic22.core.lineage import ModelVersion, Node, PredictionRecord, ReceiptBatch
from epic22.core.ports import PredictionLog, PredictionLogReader
from epic22.core.prediction import Prediction
from epic22.core.serialization import collect_views, to_json, view
from epic22.core.tables.erasure import TenantIdentity

MAX_PENDING = 200_000
"""Receipts kept in memory between two writings; more are dropped."""
FLUSH_SECONDS = 1.0
FAULT_SECONDS = 60.0
"""So long receipts count as lost after some were, unless others are written before."""
RECEIPT_KEY = '"receipt":"'

LINE_VIEWS = collect_views(
    view(
        PredictionRecord,
        "receipt task version model_hash entity at row_from?",
        row_from=lambda record: record.row_from and (record.row_from.type, record.row_from.id, record.row_from.label),
    )
)
"""What a line says of an answer."""


class ReceiptStore(PredictionLog, PredictionLogReader, Protocol):
    """Where receipts are kept: files, or a database."""

    def write(self, receipts: Iterable[PredictionRecord]) -> None:
        """Add receipts; what cannot be written is logged."""

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        """Add receipts. Raises StorageError where they cannot be written."""

    def add_batch(self, batch: ReceiptBatch) -> None:
        """Add the receipts of many answers. Raises StorageError where they cannot be written."""

    def iterate_receipts(self) -> Iterator[PredictionRecord]:
        """All receipts in the order in which they were written, read as they are asked for."""

    def count_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> int:
        """How many receipts are about a person, or were read from a file of that name; `tables` by task."""

    def erase_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> None:
        """Remove those about the person, and take the id out of the others. Raises StorageError where that is refused."""


def redact_receipt(record: PredictionRecord, person: TenantIdentity, tables: Mapping[str, str]) -> PredictionRecord | None:
    """The receipt without the person; None where it is about the person."""
    if person.is_entity(record.entity, tables.get(record.task)):
        return None
    origin = record.row_from
    if origin is None or not person.has_name_in(f"{origin.id} {origin.label}"):
        return record
    return replace(record, row_from=replace(origin, id=person.redact(origin.id), label=person.redact(origin.label)))


class FilePredictionLog:
    """The prediction log as files; `log_predictions` writes at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log_predictions(self, version: ModelVersion, predictions: Sequence[Prediction], row_from: Node | None = None) -> None:
        """Write these answers' receipts, and what their rows were read from; what cannot be written is logged."""
        v, now = version, datetime.now(UTC).replace(tzinfo=None)
        self.write(PredictionRecord(p.receipt, v.task, v.version, v.model_hash, p.entity, now, row_from) for p in predictions)

    def close(self) -> None:
        """Nothing waits here."""

    def write(self, receipts: Iterable[PredictionRecord]) -> None:
        """Add receipts to the files of their days; what cannot be written is logged."""
        for day, lines in _group_lines(receipts).items():
            try:
                self._append(day, lines)
            except OSError as error:
                get_logger().warning("receipts not written", folder=str(self.folder), count=len(lines), reason=str(error))

    def add_receipts(self, receipts: Sequence[PredictionRecord]) -> None:
        """Add receipts to the files of their days. Raises StorageError where they cannot be written."""
        self._append_days(_group_lines(receipts))

    def add_batch(self, batch: ReceiptBatch) -> None:
        """Add the receipts of many answers to the file of their day. Raises StorageError where they cannot be written."""
        self._append_days({f"{batch.at:%Y-%m-%d}": _write_batch(batch)})

    def _append_days(self, days: Mapping[str, Sequence[bytes]]) -> None:
        try:
            for day, lines in days.items():
                self._append(day, lines)
        except OSError as error:
            reason = describe_storage_fault(error) or f"{self.folder}: {error.strerror or type(error).__name__}"
            raise StorageError(f"{reason}; receipts were not written. Mend it and do it again.") from error

    def iterate_receipts(self) -> Iterator[PredictionRecord]:
        """All receipts, day by day, a line in memory at a time."""
        return (receipt for receipt in map(_parse_line, self._lines()) if receipt is not None)

    def find_receipts(self, prefix: str) -> tuple[PredictionRecord, ...]:
        """Every time an answer was given whose receipt begins so, oldest first."""
        pattern = f"{RECEIPT_KEY}{prefix}".encode()
        matches = (_parse_line(line) for line in self._lines() if pattern in line)
        return tuple(r for r in matches if r is not None and r.receipt.startswith(prefix))

    def count_predictions(self) -> Mapping[tuple[str, str], int]:
        """How many answers each (task, version) gave."""
        return Counter((r.task, r.version) for r in self.iterate_receipts())

    def count_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> int:
        """How many lines are about a person, or name the person."""
        paths = sorted(self.folder.glob("*.jsonl"))
        return sum(one != line for path in paths for line, one in _redact_lines(path, person, tables))

    def erase_answers_about(self, person: TenantIdentity, tables: Mapping[str, str]) -> None:
        """Write the files of those days anew; who adds a line meanwhile waits."""
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                lines = list(_redact_lines(path, person, tables))
                if any(one != line for line, one in lines):
                    write_atomically(path, b"".join(one for _, one in lines))
                    path.chmod(0o600)

    def _append(self, day: str, lines: Sequence[bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # The first line break ends a line that a killed process left half-written; one write keeps processes apart.
        content = b"\n" + b"".join(lines)
        file = _open_locked(self.folder / f"{day}.jsonl")
        try:
            size = os.fstat(file).st_size
            try:
                while content:
                    content = content[os.write(file, content) :]
            except OSError:
                # None of them is there, so that they may be written again.
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream


_Batch = tuple[ModelVersion, list[tuple[str, str]], datetime, Node | None]
"""The receipts and entities of a request's answers, by which model, when, and what their rows were read from."""


class BufferedPredictionLog:
    """A prediction log that writes in a thread of its own, once a second and at the end; see the module for what may be lost."""

    def __init__(
        self,
        store: ReceiptStore,
        max_pending: int = MAX_PENDING,
        flush_seconds: float = FLUSH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.max_pending, self.flush_seconds, self.clock = store, max_pending, flush_seconds, clock
        self.dropped = 0
        self.is_waiting = False
        self._pending: list[_Batch] = []
        self._fault: tuple[float, str] | None = None
        self._n_pending = 0
        self._n_reported = 0
        self._lock, self._stop = Lock(), Event()
        self._thread: Thread | None = None

    def log_predictions(self, version: ModelVersion, predictions: Sequence[Prediction], row_from: Node | None = None) -> None:
        """Put the receipts where the thread finds them; a few microseconds, no disk."""
        pairs = [(p.receipt, p.entity) for p in predictions]
        now = datetime.now(UTC).replace(tzinfo=None)
        with self._lock:
            if self._n_pending + len(pairs) > self.max_pending:
                self.dropped += len(pairs)
                return
            self._pending.append((version, pairs, now, row_from))
            self._n_pending += len(pairs)
            if self._thread is None:
                self._stop = Event()
                self._thread = Thread(target=self._flush_until, args=(self._stop,), name="epic22-receipts", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write down what still waits and end the thread; another `log_predictions` starts one again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None:
            thread.join()
        self.flush(is_last=True)

    @property
    def fault(self) -> str | None:
        """Why receipts were lost when some were last to be written; None where all were written, and after FAULT_SECONDS.

        A server that is sent no requests while it has a fault has no receipts to write, and would be left out for good.
        """
        fault = self._fault
        return None if fault is None or self.clock() - fault[0] > FAULT_SECONDS else fault[1]

    def flush(self, is_last: bool = False) -> None:
        """Write down what waits now, and say what was dropped since the last time, or could not be written. Never raises.

        What nothing can be written of now waits for the next time, unless this is the last.
        """
        with self._lock:
            batches, self._pending = self._pending, []
            lost, self._n_reported = self.dropped - self._n_reported, self.dropped
        faults = []
        if lost:
            faults.append(f"more than {self.max_pending:,} waited")
            self._warn("receipts dropped", count=lost, since_start=self.dropped, most_waiting=self.max_pending)
        outcome = self._try_first(batches) if self.is_waiting else self._write(batches)
        for reason, count in outcome.faults.items():
            self._warn("receipts not written", count=count, reason=reason)
        if outcome.unwritten:
            count = _count_receipts(outcome.unwritten)
            if is_last:
                faults.append(outcome.reason)
                self._warn("receipts not written", count=count, reason=outcome.reason)
            elif not self.is_waiting:
                self._warn("receipts wait", count=count, reason=outcome.reason, most_waiting=self.max_pending)
        elif self.is_waiting and batches:
            self._warn("receipts are written again", count=_count_receipts(batches))
        waiting = [] if is_last else outcome.unwritten
        with self._lock:
            self._pending[:0] = waiting
            self._n_pending -= _count_receipts(batches) - _count_receipts(waiting)
        if batches or lost:
            self.is_waiting = bool(waiting)
            faults += outcome.faults
            self._fault = (self.clock(), "; ".join(dict.fromkeys(faults))) if faults else None

    def _try_first(self, batches: Sequence[_Batch]) -> "_Written":
        """Write the first, and the others where that was possible: many may have come to wait."""
        first = self._write(batches[:1])
        return first.join(_Written(unwritten=list(batches[1:])) if first.unwritten else self._write(batches[1:]))

    def _write(self, batches: Sequence[_Batch]) -> "_Written":
        """Write batches, together or, where something is wrong with some of their receipts, each half by itself."""
        if not batches:
            return _Written()
        receipts = [
            PredictionRecord(receipt, v.task, v.version, v.model_hash, entity, at, row_from)
            for v, pairs, at, row_from in batches
            for receipt, entity in pairs
        ]
        try:
            self.store.add_receipts(receipts)
        except Exception as error:  # noqa: BLE001  whatever is wrong with one answer's receipt, those of others are written
            # Where nothing can be written now, it is not tried again for each: that would take long.
            if isinstance(error, StorageError) and not isinstance(error, RefusedContentError):
                return _Written(unwritten=list(batches), reason=str(error))
            if len(receipts) > 1:
                first, second = _halve(batches)
                return self._write(first).join(self._write(second))
            # Its first line: what a database adds below it are the receipts themselves.
            mistake = f"our mistake, {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            return _Written(Counter({str(error) if isinstance(error, StorageError) else mistake: len(receipts)}))
        return _Written()

    def _warn(self, event: str, **facts: object) -> None:
        # Where standard error is closed there is nobody to say it to, and receipts are written all the same.
        with suppress(OSError, ValueError):
            get_logger().warning(event, **facts)

    def _flush_until(self, stop: Event) -> None:
        while not stop.wait(self.flush_seconds):
            self.flush()


@dataclass(frozen=True)
class _Written:
    """How batches were written: how many receipts are lost by which of the `faults`, and the batches that are `unwritten`, for
    nothing could be written then, with the reason."""

    faults: Counter[str] = field(default_factory=Counter)
    unwritten: list[_Batch] = field(default_factory=list)
    reason: str = ""

    def join(self, other: "_Written") -> "_Written":
        """How both were."""
        return _Written(self.faults + other.faults, self.unwritten + other.unwritten, self.reason or other.reason)


def _halve(batches: Sequence[_Batch]) -> tuple[Sequence[_Batch], Sequence[_Batch]]:
    """The batches in two halves; a single one's receipts."""
    if len(batches) > 1:
        middle = len(batches) // 2
        return batches[:middle], batches[middle:]
    version, pairs, at, row_from = batches[0]
    middle = len(pairs) // 2
    return [(version, pairs[:middle], at, row_from)], [(version, pairs[middle:], at, row_from)]


def _count_receipts(batches: Sequence[_Batch]) -> int:
    return sum(len(pairs) for _, pairs, _, _ in batches)


def get_logger() -> Any:
    """Where the log says what went wrong: standard error, so that JSON on standard output stays JSON."""
    return structlog.wrap_logger(structlog.PrintLogger(sys.stderr))


def _group_lines(receipts: Iterable[PredictionRecord]) -> dict[str, list[bytes]]:
    """The lines of receipts by their days."""
    days: dict[str, list[bytes]] = {}
    for receipt in receipts:
        days.setdefault(f"{receipt.at:%Y-%m-%d}", []).append(_write_line(receipt))
    return days


def _open_locked(path: Path) -> int:
    """The file, to be added to, whose lock this has; not one that was replaced while this waited for it."""
    while True:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        except FileNotFoundError:
            pass
        os.close(file)


def _redact_lines(path: Path, person: TenantIdentity, tables: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """The lines of a file, each with what stays of it: nothing of one about the person."""
    with path.open("rb") as stream:
        for line in stream:
            record = _parse_line(line)
            if record is None:
                # A torn line is no receipt; it goes where it names the person.
                yield line, b"" if person.has_name_in_bytes(line) else line
                continue
            after = redact_receipt(record, person, tables)
            yield line, line if after is record else b"" if after is None else _write_line(after)


def _write_line(record: PredictionRecord) -> bytes:
    return json.dumps(to_json(record, LINE_VIEWS), separators=(",", ":")).encode() + b"\n"


def _write_batch(batch: ReceiptBatch) -> list[bytes]:
    """The lines of many receipts that differ in receipt and entity alone, in a tenth of the time."""
    sample = next(iter(replace(batch, receipts=["\x00"], entities=["\x01"])))
    head, middle, end = re.split(rb"\\u000[01]", _write_line(sample))
    names = (json.dumps(entity)[1:-1].encode() for entity in batch.entities)
    return [head + receipt.encode() + middle + name + end for receipt, name in zip(batch.receipts, names, strict=True)]


def _parse_line(line: bytes) -> PredictionRecord | None:
    """A line's receipt; None for a blank or torn one."""
    try:
        stored = json.loads(line)
        origin = None if stored.get("row_from") is None else Node(*stored["row_from"])
        return PredictionRecord(**stored | {"at": datetime.fromisoformat(stored["at"]), "row_from": origin})
    except (ValueError, KeyError, TypeError):
        return None
