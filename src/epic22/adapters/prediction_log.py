"""The receipts of answers given: JSON lines in EPIC22_HOME/receipts, a file a day (UTC), only ever added to.

What a server answers is written by a thread of its own every second: a process that is killed loses the last second's receipts,
and one that answers faster than the disk writes loses some, counted and logged. The answers themselves are never kept waiting.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Protocol

import structlog

from epic22.core.errors import StorageError, describe_storage_fault
from epic22.core.lineage import ModelVersion, Node, PredictionRecord
from epic22.core.ports import PredictionLog, PredictionLogReader
from epic22.core.prediction import Prediction
from epic22.core.serialization import collect_views, to_json, view

MAX_PENDING = 200_000
"""Receipts kept in memory between two writings; more are dropped."""
FLUSH_SECONDS = 1.0
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

    def iterate_receipts(self) -> Iterator[PredictionRecord]:
        """All receipts in the order in which they were written, read as they are asked for."""


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
        try:
            for day, lines in _group_lines(receipts).items():
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

    def _append(self, day: str, lines: Sequence[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # The first line break ends a line that a killed process left half-written; one write keeps processes apart.
        content = ("\n" + "\n".join(lines) + "\n").encode()
        file = os.open(self.folder / f"{day}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            while content:
                content = content[os.write(file, content) :]
        finally:
            os.close(file)

    def _lines(self) -> Iterator[bytes]:
        for path in sorted(self.folder.glob("*.jsonl")):
            with path.open("rb") as stream:
                yield from stream


class BufferedPredictionLog:
    """A prediction log that writes in a thread of its own, once a second and at the end; see the module for what may be lost."""

    def __init__(self, store: ReceiptStore, max_pending: int = MAX_PENDING, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.store, self.max_pending, self.flush_seconds = store, max_pending, flush_seconds
        self.dropped = 0
        self._pending: list[tuple[ModelVersion, list[tuple[str, str]], datetime, Node | None]] = []
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
        self.flush()

    def flush(self) -> None:
        """Write down what waits now, and say what was dropped since the last time."""
        with self._lock:
            batches, self._pending, self._n_pending = self._pending, [], 0
            lost, self._n_reported = self.dropped - self._n_reported, self.dropped
        if lost:
            get_logger().warning("receipts dropped", count=lost, since_start=self.dropped, most_waiting=self.max_pending)
        self.store.write(
            PredictionRecord(receipt, v.task, v.version, v.model_hash, entity, at, row_from)
            for v, pairs, at, row_from in batches
            for receipt, entity in pairs
        )

    def _flush_until(self, stop: Event) -> None:
        while not stop.wait(self.flush_seconds):
            self.flush()


def get_logger() -> Any:
    """Where the log says what went wrong: standard error, so that JSON on standard output stays JSON."""
    return structlog.wrap_logger(structlog.PrintLogger(sys.stderr))


def _group_lines(receipts: Iterable[PredictionRecord]) -> dict[str, list[str]]:
    """The lines of receipts by their days."""
    days: dict[str, list[str]] = {}
    for receipt in receipts:
        line = json.dumps(to_json(receipt, LINE_VIEWS), separators=(",", ":"))
        days.setdefault(f"{receipt.at:%Y-%m-%d}", []).append(line)
    return days


def _parse_line(line: bytes) -> PredictionRecord | None:
    """A line's receipt; None for a blank or torn one."""
    try:
        stored = json.loads(line)
        origin = None if stored.get("row_from") is None else Node(*stored["row_from"])
        return PredictionRecord(**stored | {"at": datetime.fromisoformat(stored["at"]), "row_from": origin})
    except (ValueError, KeyError, TypeError):
        return None
