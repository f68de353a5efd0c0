"""What a client sees of a job and of its events: how far it is, never where files are, what was asked for, or why it failed."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from epic22.core.job import JobRecord, JobState
from epic22.core.job_event import JobEvent
from epic22.core.progress import Noted, Stage, Unit
from epic22.core.progress_lines import write_event
from epic22.core.progress_state import ProgressState

SUBJECT = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
OWN = "about"
"""The field of an event with what is somebody's own: a file's name, an address, a column."""


class WorkAnswer(BaseModel):
    """A piece of work under way, such as the folds of a family: `done` of `steps`, each a `unit`. `seconds_left` is estimated by
    what was done; null where nothing tells."""

    what: str
    unit: Unit
    done: int
    steps: int | None
    share: float | None
    seconds_left: float | None


class EpochAnswer(BaseModel):
    """The last epoch of a network that is training."""

    epoch: int
    epochs: int
    loss: float | None
    validation_loss: float | None


class ProgressAnswer(BaseModel):
    """How far a job is: its stage, the pieces of work from the outermost in, and what its processes take of the machine."""

    stage: Stage | None
    works: list[WorkAnswer]
    epoch: EpochAnswer | None
    seconds_left: float | None
    device: str | None
    processor_share: float | None = Field(description="Of the processors that the worker may use, 0 to 1.")
    memory_bytes: int | None
    processes: int | None


class JobAnswer(BaseModel):
    """A job. `subject` is the feature that it is about, null for a table of one's own. Why it failed its operator is told."""

    id: int
    verb: str
    subject: str | None
    state: JobState
    attempt: int
    priority: int
    threads: int
    memory_limit: int | None
    submitted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobDetail(JobAnswer):
    """A job and how far it is."""

    progress: ProgressAnswer | None


class Jobs(BaseModel):
    """The newest jobs, the newest first."""

    jobs: list[JobAnswer]


class StreamedEvent(BaseModel):
    """What an event of the stream says, with its moment; fields that only its kind has stand beside these."""

    event: Literal[
        "stage_started",
        "stage_finished",
        "work_started",
        "work_advanced",
        "epoch_finished",
        "device_used",
        "process_sample",
        "attempt_started",
    ]
    at: datetime


def answer_job(job: JobRecord) -> JobAnswer:
    """A job as a client sees it."""
    return JobAnswer(**_describe_job(job))


def answer_job_detail(job: JobRecord, state: ProgressState | None, now: float) -> JobDetail:
    """The same with how far it is at a moment, in seconds since 1970; nothing of a job that no attempt was made at."""
    return JobDetail(**_describe_job(job), progress=None if state is None else answer_progress(state, now))


def _describe_job(job: JobRecord) -> dict[str, Any]:
    request = job.request
    first = request.arguments[0] if request.arguments else ""
    return {
        "id": job.id,
        "verb": request.verb,
        "subject": first if SUBJECT.fullmatch(first) else None,
        "state": job.state,
        "attempt": job.attempts,
        "priority": request.priority,
        "threads": request.threads,
        "memory_limit": request.memory,
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
    }


def answer_progress(state: ProgressState, now: float) -> ProgressAnswer:
    """How far a job is, as a client sees it."""
    sample, epoch = state.sample, state.epoch
    works = [
        WorkAnswer(
            what=work.what,
            unit=work.unit,
            done=work.done,
            steps=work.steps or None,
            share=state.get_share(number),
            seconds_left=state.estimate_seconds_left(number, now),
        )
        for number, work in enumerate(state.works)
    ]
    return ProgressAnswer(
        stage=state.stage,
        works=works,
        epoch=None if epoch is None else EpochAnswer.model_validate(epoch, from_attributes=True),
        seconds_left=state.estimate_longest_left(now),
        device=state.device,
        processor_share=None if sample is None else sample.processor_share,
        memory_bytes=None if sample is None else sample.memory_bytes,
        processes=None if sample is None else sample.processes,
    )


def answer_event(one: JobEvent) -> Mapping[str, Any] | None:
    """An event as a client sees it; None of a note, whose sentence may name a place on the server."""
    import orjson

    if isinstance(one.event, Noted):
        return None
    fields = {name: value for name, value in orjson.loads(write_event(one.event)).items() if name != OWN}
    return {"at": one.at.isoformat(timespec="milliseconds"), **fields}
