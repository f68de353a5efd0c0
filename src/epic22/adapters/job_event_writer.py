"""Events of an attempt at a job on their way into a store: several in one transaction, by a thread of their own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from epic22.adapters.prediction_log import get_logger
from epic22.core.errors import UserError
from epic22.core.job import AttemptId
from epic22.core.job_event import JobEvents
from epic22.core.progress import AttemptStarted, Progress, ProgressEvent

WRITE_SECONDS = 1.0
MAX_WAITING = 5_000
"""So many events wait while the store does not answer; the oldest are left out then."""


@dataclass(frozen=True)
class JobEventWriter:
    """Opens a progress for each attempt, whose events a store keeps within about a second."""

    events: JobEvents
    seconds: float = WRITE_SECONDS

    @contextmanager
    def open_progress(self, attempt: AttemptId, ordinal: int) -> Iterator[Progress]:
        """A progress of the attempt; what is emitted in it is kept at its end, and no fault of the store ends anything."""
        waiting, is_ended = _WaitingEvents(self.events, attempt), threading.Event()
        waiting.add(AttemptStarted(ordinal))

        def write_until_end() -> None:
            while not is_ended.wait(self.seconds):
                waiting.write()

        thread = threading.Thread(target=write_until_end, daemon=True, name=f"events of attempt {attempt}")
        thread.start()
        try:
            yield Progress(waiting.add)
        finally:
            is_ended.set()
            thread.join()
            waiting.write()
            with suppress(UserError):
                self.events.thin(attempt.job)


@dataclass
class _WaitingEvents:
    store: JobEvents
    attempt: AttemptId
    events: list[tuple[datetime, ProgressEvent]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: ProgressEvent) -> None:
        """Have an event of now wait."""
        with self.lock:
            self.events.append((datetime.now(UTC), event))

    def write(self) -> None:
        """Keep what waits; where the store does not answer it waits on, the newest of it. Never raises: what nobody foresaw costs
        the events that it is about, never the attempt."""
        with self.lock:
            batch, self.events = self.events, []
        try:
            self.store.append(self.attempt, batch)
        except UserError:
            with self.lock:
                self.events = [*batch, *self.events][-MAX_WAITING:]
        except Exception as error:  # noqa: BLE001  the events of later moments are written all the same
            reason = f"our mistake, {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
            get_logger().warning("events of a job not written", attempt=str(self.attempt), count=len(batch), reason=reason)
