"""`GET /v1/jobs`, `/v1/jobs/{job}` and `/v1/jobs/{job}/events`: jobs and how far they are, to be read and not to be changed."""

import re
import time
from collections import OrderedDict
from threading import Lock

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response

from epic22.api.job_answers import JobDetail, Jobs, answer_job, answer_job_detail
from epic22.api.job_stream import JobStream, Listeners
from epic22.api.problems import Problem
from epic22.core.errors import StorageError, UnknownTaskError
from epic22.core.job import JobRecord
from epic22.core.job_event import JobFeed, compute_state
from epic22.core.progress_state import ProgressState

JOBS_PATH, JOB_PATH, STREAM_PATH = "/v1/jobs", "/v1/jobs/{job}", "/v1/jobs/{job}/events"
MAX_JOBS = 100
"""So many jobs are listed, the newest."""
MAX_STATES = 256
"""Of so many jobs is remembered how far they are, so that only what is new is read."""
NO_STORE = {"Cache-Control": "no-store"}
NUMBER = re.compile("[0-9]{1,15}")


class JobStates:
    """How far jobs are, brought up to date at each question by the events that came since."""

    def __init__(self, feed: JobFeed, limit: int = MAX_STATES) -> None:
        self.feed, self.limit = feed, limit
        self._states, self._lock = OrderedDict[int, tuple[int, ProgressState]](), Lock()

    def get(self, job: int) -> ProgressState | None:
        """How far a job is; None where no attempt was made at it. Raises StorageError."""
        with self._lock:
            last, state = self._states.pop(job, (0, ProgressState()))
            while events := self.feed.read_events(job, last):
                last, state = events[-1].number, compute_state(events, state)
            if last == 0:
                return None
            self._states[job] = last, state
            if len(self._states) > self.limit:
                self._states.popitem(last=False)
            return state


def add_job_routes(app: FastAPI, feed: JobFeed, listeners: Listeners | None = None) -> None:
    """Answer questions about jobs on the application."""
    crowd, states = listeners or Listeners(), JobStates(feed)

    @app.get(JOBS_PATH, summary="The newest jobs", responses={200: {"model": Jobs}})
    async def jobs() -> Response:
        """At most a hundred, the newest first."""
        records = await run_sync(_list_jobs, feed, limiter=crowd.threads)
        return _answer(Jobs(jobs=[answer_job(job) for job in records]))

    @app.get(JOB_PATH, summary="One job, and how far it is", responses={200: {"model": JobDetail}})
    async def one_job(job: str) -> Response:
        """Its stage, the work under way from the outermost in, about how long it takes, and what it takes of the machine."""
        return _answer(await run_sync(_describe, feed, states, job, limiter=crowd.threads))

    @app.get(STREAM_PATH, summary="The events of a job as they come, until it ends")
    async def job_events(job: str, request: Request) -> Response:
        """Server-sent events."""
        after = read_last_event(request.headers.get("last-event-id"))
        crowd.refuse_more()
        record, events = await run_sync(_open_stream, feed, job, after or 0, limiter=crowd.threads)
        if after is not None and not (record.is_open or events):
            # By this a browser's EventSource does not come again.
            return Response(status_code=204, headers=NO_STORE)
        return JobStream(feed, record.id, after or 0, crowd)


def read_last_event(header: str | None) -> int | None:
    """The number in a Last-Event-ID header; None where there is none. Raises Problem 400 for what is no number.

    >>> read_last_event("17"), read_last_event(None)
    (17, None)
    """
    if not header:
        return None
    if NUMBER.fullmatch(header) is None:
        raise Problem(400, "Last-Event-ID is not the id of an event of this stream; leave it out to begin at the first.")
    return int(header)


def _list_jobs(feed: JobFeed) -> tuple[JobRecord, ...]:
    try:
        return feed.list_jobs(MAX_JOBS)
    except StorageError:
        raise _build_away_problem() from None


def _describe(feed: JobFeed, states: JobStates, job: str) -> JobDetail:
    record = _get_job(feed, job)
    try:
        return answer_job_detail(record, states.get(record.id), time.time())
    except StorageError:
        raise _build_away_problem() from None


def _open_stream(feed: JobFeed, job: str, after: int) -> tuple[JobRecord, bool]:
    """The job, and whether it has events after that number."""
    record = _get_job(feed, job)
    try:
        return record, bool(feed.read_events(record.id, after))
    except StorageError:
        raise _build_away_problem() from None


def _get_job(feed: JobFeed, job: str) -> JobRecord:
    """The job of a number in an address. Raises Problem 404 where there is none, 503 where nobody can say."""
    try:
        if NUMBER.fullmatch(job) is not None:
            return feed.get(int(job))
    except UnknownTaskError:
        pass
    except StorageError:
        raise _build_away_problem() from None
    raise Problem(404, "There is no job of that number; GET /v1/jobs lists the newest.")


def _build_away_problem() -> Problem:
    return Problem(503, "The place that has the jobs does not answer now; try again later.", headers={"Retry-After": "5"})


def _answer(content: Jobs | JobDetail) -> Response:
    return Response(content.model_dump_json(), media_type="application/json", headers=NO_STORE)
