"""The stream of a job's events to one client (server-sent events): what was, what comes, and the end with the job."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from epic22.api.job_answers import answer_event, answer_job
from epic22.api.problems import Problem
from epic22.core.errors import UserError
from epic22.core.job import JobRecord
from epic22.core.job_event import JobEvent, JobFeed

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS, HEARTBEAT_SECONDS = 1.0, 4.0
"""So often new events are looked for; after so long without any, a comment says that the server is there."""
MAX_LISTENERS = 64
MAX_STREAM_SECONDS = 3_600.0
"""A stream is ended after so long: its client comes again by itself, with the number of the last event."""
RETRY_MILLISECONDS = 2_000


@dataclass(frozen=True)
class StreamPace:
    """How often a stream looks for events and says that it is there, and when it is ended, in seconds."""

    look: float = LOOK_SECONDS
    heartbeat: float = HEARTBEAT_SECONDS
    longest: float = MAX_STREAM_SECONDS


@dataclass
class Listeners:
    """How many clients listen, of at most `limit`, at which pace, and the threads that look for them."""

    limit: int = MAX_LISTENERS
    pace: StreamPace = StreamPace()
    count: int = 0
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(4))

    def refuse_more(self) -> None:
        """Raise Problem 503 where as many listen as may."""
        if self.count >= self.limit:
            detail = f"{self.limit} clients listen already, as many as may; try again later, or ask GET /v1/jobs/ID now and then."
            raise Problem(503, detail, headers={"Retry-After": "30"})

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Count a client until the block ends."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class JobStream(Response):
    """The response that streams a job's events after a number; it counts as a listener while it is sent."""

    def __init__(self, feed: JobFeed, job: int, after: int, listeners: Listeners) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.feed, self.job, self.position, self.listeners, self.pace = feed, job, after, listeners, listeners.pace
        self.state = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the job ends, or the client is gone."""
        with self.listeners.enter():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_wait_for_disconnect, receive, tasks.cancel_scope.cancel)
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await self._send_all(partial(_send_part, send))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                tasks.cancel_scope.cancel()

    async def _send_all(self, send_part: Callable[[bytes], Any]) -> None:
        end, sent_at = time.monotonic() + self.pace.longest, time.monotonic()
        await send_part(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        while time.monotonic() < end:
            record, events = await run_sync(self._look, limiter=self.listeners.threads)
            content = self._write(record, events)
            if not content and time.monotonic() - sent_at >= self.pace.heartbeat:
                content = b": still here\n\n"
            if content:
                await send_part(content)
                sent_at = time.monotonic()
            if record is not None and not record.is_open and not events:
                return
            if not events:
                await anyio.sleep(self.pace.look)

    def _look(self) -> tuple[JobRecord | None, tuple[JobEvent, ...]]:
        """The job and its next events; the job is None while the place that has them does not answer."""
        try:
            # First the job: once it has ended there are no events that are not read after this.
            record = self.feed.get(self.job)
            return record, self.feed.read_events(self.job, self.position)
        except UserError:
            return None, ()

    def _write(self, record: JobRecord | None, events: tuple[JobEvent, ...]) -> bytes:
        """What is to be sent: events, and the job where its state changed; the last time with the name `end`."""
        parts = []
        for one in events:
            self.position, content = one.number, answer_event(one)
            if content is not None:
                parts.append(format_message("progress", content, one.number))
        if record is not None and not (record.is_open or events):
            parts.append(format_message("end", answer_job(record).model_dump(mode="json")))
        elif record is not None and f"{record.state}{record.attempt}" != self.state:
            self.state = f"{record.state}{record.attempt}"
            parts.append(format_message("job", answer_job(record).model_dump(mode="json")))
        return b"".join(parts)


def format_message(name: str, content: Mapping[str, Any], number: int | None = None) -> bytes:
    """A message of a stream.

    >>> format_message("progress", {"event": "work_advanced"}, 7)
    b'event: progress\\nid: 7\\ndata: {"event":"work_advanced"}\\n\\n'
    """
    identity = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), identity, orjson.dumps(content))


async def _send_part(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})


async def _wait_for_disconnect(receive: Receive, cancel: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    cancel()
