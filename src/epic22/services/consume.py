"""A consumer of events: batches by count and time into data versions, acknowledged once they are stored, until it is stopped.

A place that does not answer is waited for, ever longer; what was read and not stored then is read again. Each event counts once
all the same, for which events came before is stored with the tables.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epic22.core.errors import LakeBusyError, UnavailableError
from epic22.core.ports import EventStream, Lag, TableStore
from epic22.core.tables.events import ArrivedEvent
from epic22.services.events import EventRequest, EventResult, ingest_events

MAX_BATCH_BYTES = 64 << 20
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 5.0
READ_SECONDS = 1.0
"""So long a consumer waits for events before it looks around."""


@dataclass(frozen=True)
class BatchPolicy:
    """When a batch becomes a version: once it has so many events, or so many seconds after its first one came.

    `is_once`: the consumer ends where nothing waits, in place of waiting for more.
    """

    events: int = 20_000
    seconds: float = 60.0
    is_once: bool = False


@dataclass(frozen=True)
class BatchStored:
    """A batch is stored and acknowledged; `lag` is None where that cannot be known."""

    result: EventResult
    seconds: float
    lag: Lag | None


@dataclass(frozen=True)
class Waiting:
    """Something does not answer, and is waited for; `reason` is None once it answers again."""

    reason: str | None


Report = Callable[[BatchStored | Waiting], None]


def consume_events(
    stream: EventStream, table_store: TableStore, request: EventRequest, policy: BatchPolicy, report: Report
) -> None:
    """Take the events of a stream into data versions until it is finished; each batch is reported, and each wait once.

    Raises StorageError where the tables cannot be written, but for a server that is away, SourceError where the stream refuses.
    """
    outage = _Outage(report)
    while True:
        try:
            batch = _collect_batch(stream, policy)
            if batch:
                _store_batch(batch, stream, table_store, request, report)
            outage.end()
            if not batch and (stream.is_finished or policy.is_once):
                return
        except (UnavailableError, LakeBusyError) as error:
            outage.wait(str(error))
            stream.rewind()


def _store_batch(
    batch: Sequence[ArrivedEvent], stream: EventStream, table_store: TableStore, request: EventRequest, report: Report
) -> None:
    start = time.monotonic()
    result = ingest_events(batch, table_store, request)
    stream.acknowledge(batch)
    seconds = time.monotonic() - start
    try:
        lag = stream.measure_lag()
    except UnavailableError:
        # The batch is stored all the same; the next read says what does not answer.
        lag = None
    report(BatchStored(result, seconds, lag))


def _collect_batch(stream: EventStream, policy: BatchPolicy) -> list[ArrivedEvent]:
    """The next events, as many as come until the batch is full or its time is over."""
    batch = list(stream.read(policy.events, 0.0 if policy.is_once else READ_SECONDS))
    end = time.monotonic() + policy.seconds
    n_bytes = sum(len(event.content) for event in batch)
    while batch and len(batch) < policy.events and n_bytes < MAX_BATCH_BYTES and not stream.is_finished:
        remaining = end - time.monotonic()
        if remaining <= 0:
            break
        part = stream.read(policy.events - len(batch), 0.0 if policy.is_once else min(remaining, READ_SECONDS))
        if not part and policy.is_once:
            break
        n_bytes += sum(len(event.content) for event in part)
        batch += part
    return batch


@dataclass
class _Outage:
    """Pauses that grow while something does not answer, reported at their begin and their end."""

    report: Report
    pause: float = 0.0

    def wait(self, reason: str) -> None:
        """Pause, longer each time."""
        if not self.pause:
            self.report(Waiting(reason))
        self.pause = min(LAST_PAUSE_SECONDS, self.pause * 2 or FIRST_PAUSE_SECONDS)
        time.sleep(self.pause)

    def end(self) -> None:
        """Say that it answers again, where it did not."""
        if self.pause:
            self.report(Waiting(None))
        self.pause = 0.0
