"""A worker: it takes jobs from the queue, one at a time, and takes over what dead workers had under way."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar

from epic22.core.errors import StorageError, UserError
from epic22.core.job import AttemptId, ChildOrder, ChildOutcome, JobRecord, JobState, LostAttempt, decide_next_step
from epic22.core.job_ports import JobQueue, JobRecords, ScheduleRecords, StartChild, WorkerRecords
from epic22.core.schedule import Schedule
from epic22.services.jobs import submit_due

T = TypeVar("T")
BEAT_SECONDS = 1.0
DEAD_SECONDS = 6.0
"""A worker whose heartbeats stand still for so long, as long as others see, is taken for dead."""
CHECK_SECONDS = 1.0
"""How often a worker asks whether its attempt is still the newest."""
MISSING_LOOKS = 10
"""Every so many heartbeats a job that waits is looked for in the queue."""


@dataclass(frozen=True)
class WorkerParts:
    """What a worker works with. `end_process` ends the process of an attempt on this machine; jobs of another version of the
    program than `program` are left to other workers."""

    records: JobRecords
    workers: WorkerRecords
    schedules: ScheduleRecords
    queue: JobQueue
    start_child: StartChild
    end_process: Callable[[LostAttempt], None]
    folder: Path
    program: str


@dataclass
class Pulse:
    """How often each other worker was seen to beat, and since when its count stands still, by this process's own clock."""

    counts: dict[str, int] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def find_dead(self, beats: dict[str, int], moment: float) -> list[str]:
        """The workers that were seen to stand still for too long; the moment is that before the beats were read."""
        for worker, count in beats.items():
            if self.counts.get(worker) != count:
                self.counts[worker], self.since[worker] = count, moment
        for worker in set(self.counts) - set(beats):
            del self.counts[worker], self.since[worker]
        return [worker for worker in beats if moment - self.since[worker] > DEAD_SECONDS]

    def forget(self) -> None:
        """Begin anew: while nothing could be read nobody could beat."""
        self.counts.clear()
        self.since.clear()


class Worker:
    """A worker of that name; `say` gets a line about whatever happens. `limit` is after how many jobs it ends by itself."""

    def __init__(self, name: str, parts: WorkerParts, say: Callable[[str], None], limit: int | None = None) -> None:
        self.name, self.parts, self.say = name, parts, say
        self.left = limit
        self.is_stopping = threading.Event()
        self.current: JobRecord | None = None
        self.interrupted: JobRecord | None = None
        self._pulse, self._looks, self._queued, self._faulty = Pulse(), 0, set[str](), set[str]()
        self._is_away = False

    def work(self, until_idle: bool = False) -> None:
        """Work until `stop`, or the limit, or with `until_idle` until no job is open. Raises StorageError where the database is
        away at the start."""
        self.parts.workers.register(self.name)
        try:
            with self.parts.queue.open(self.run):
                self._keep_looking(until_idle)
        finally:
            self._leave()

    def _keep_looking(self, until_idle: bool) -> None:
        try:
            while not self.is_stopping.is_set():
                self._look()
                if self._is_done(until_idle):
                    return
                self.is_stopping.wait(BEAT_SECONDS)
        finally:
            # The queue waits for what is under way, which ends by this.
            self.interrupted = self.current
            self.is_stopping.set()

    def stop(self) -> None:
        """Have the worker end: what it runs goes back to the queue."""
        self.is_stopping.set()

    def _is_done(self, until_idle: bool) -> bool:
        if self.left is not None and self.left <= 0 and self.current is None:
            return True
        is_idle = (until_idle or self.left is not None) and self.current is None
        return is_idle and not self._is_away and not self._has_open_jobs(until_idle)

    def _has_open_jobs(self, until_idle: bool) -> bool:
        states: tuple[JobState, ...] = ("waiting", "running") if until_idle else ("waiting",)
        open_jobs = self._try(lambda: self.parts.records.list_jobs(states))
        # While the database is away nobody knows.
        return open_jobs is None or any(job.program == self.parts.program for job in open_jobs)

    def _look(self) -> None:
        """A heartbeat: what is due is queued, what dead workers had is taken over; nothing while the database is away."""
        try:
            self._beat()
        except StorageError as error:
            if not self._is_away:
                self.say(f"waiting: {error}")
            self._is_away = True
            self._pulse.forget()
        else:
            self._is_away = False

    def _beat(self) -> None:
        parts, moment = self.parts, monotonic()
        if not parts.workers.beat(self.name):
            self.say("others took this worker for dead; it goes on, and what it had under way is theirs.")
            parts.workers.register(self.name)
        for worker in self._pulse.find_dead(parts.workers.read_beats(), moment):
            if worker != self.name:
                self._take_over(worker)
        for schedule, job in submit_due(parts.schedules, datetime.now(UTC), self._say_fault):
            self.say(f"job {job} ({schedule.request}): submitted by schedule {schedule.name}.")
        self._queue_due()

    def _say_fault(self, schedule: Schedule, error: UserError) -> None:
        """Say once of a schedule why it does not fire here."""
        if schedule.name not in self._faulty:
            self._faulty.add(schedule.name)
            self.say(f"schedule {schedule.name} does not fire here: {error}")

    def _take_over(self, worker: str) -> None:
        lost = self.parts.workers.remove(worker, f"its worker {worker} no longer answers.")
        for one in lost:
            self.say(f"job {one.attempt.job}: taken over from {worker}, which no longer answers.")
            self.parts.end_process(one)
        if lost:
            self.parts.queue.withdraw([one.attempt for one in lost])

    def _queue_due(self) -> None:
        """Queue the jobs that wait, each next attempt once; now and then look whether the queue still has them."""
        due = self.parts.records.list_due()
        if self._looks % MISSING_LOOKS == 0:
            self._queued = set(self.parts.queue.list_queued())
        self._looks += 1
        began = monotonic()
        for job in due:
            attempt = str(AttemptId(job.id, job.attempt + 1))
            if attempt in self._queued:
                continue
            if monotonic() - began > BEAT_SECONDS:
                # The rest wait for the next look: a worker that does not beat is taken for dead.
                return
            if self.parts.queue.put(job):
                self._queued.add(attempt)
            else:
                self.parts.records.release(AttemptId(job.id, job.attempt), job.reason)

    def run(self, text: str) -> None:
        """Carry out an attempt, unless it is not the next one any more."""
        attempt = AttemptId.parse(text)
        if self.is_stopping.is_set() or self.left == 0:
            # Its entry is used up: the next attempt gets one of its own.
            self._try(lambda: self.parts.records.release(AttemptId(attempt.job, attempt.number - 1), ""))
            return
        job = self._claim(attempt)
        if job is None:
            return
        self.current = job
        try:
            self.say(f"job {job.id} ({job.request}): begins, attempt {job.attempts}.")
            self._settle(attempt, job, self._carry_out(attempt, job))
        finally:
            self.left = None if self.left is None else self.left - 1
            self.current = None

    def _claim(self, attempt: AttemptId) -> JobRecord | None:
        """Begin an attempt; while the database is away that is tried again."""
        while not self.is_stopping.is_set():
            try:
                return self.parts.records.claim(attempt, self.name)
            except StorageError:
                self.is_stopping.wait(BEAT_SECONDS)
        return None

    def _carry_out(self, attempt: AttemptId, job: JobRecord) -> ChildOutcome:
        request = job.request
        try:
            request.refuse_unknown()
        except UserError as error:
            return ChildOutcome(2, str(error))
        order = ChildOrder(
            attempt,
            (request.verb, *request.arguments),
            request.directory,
            self.parts.folder / str(job.id),
            request.threads,
            request.memory,
            job.attempts,
        )
        return self.parts.start_child(order, lambda process: self._note_process(attempt, process), self._build_check(attempt))

    def _note_process(self, attempt: AttemptId, process: int) -> None:
        self._try(lambda: self.parts.records.note_process(attempt, process))

    def _build_check(self, attempt: AttemptId) -> Callable[[], bool]:
        """Whether an attempt may go on: the worker does, and no other attempt has begun, as far as the database says."""
        last, newest = monotonic(), True

        def may_go_on() -> bool:
            nonlocal last, newest
            if newest and monotonic() - last >= CHECK_SECONDS:
                last = monotonic()
                newest = self._try(lambda: self.parts.records.is_newest(attempt)) is not False
            return newest and not self.is_stopping.is_set()

        return may_go_on

    def _settle(self, attempt: AttemptId, job: JobRecord, outcome: ChildOutcome) -> None:
        """Write down how an attempt ended; while the database is away that is tried again, until the worker is to stop."""
        step = decide_next_step(job.faults, outcome)
        while True:
            if outcome.code != 0 and self.is_stopping.is_set():
                self._try(lambda: self.parts.records.release(attempt, "its worker was stopped."))
                return
            is_written = self._try(lambda: self.parts.records.settle(attempt, step))
            if is_written is not None:
                break
            if self.is_stopping.wait(BEAT_SECONDS):
                return
        self.say(f"job {job.id}: {step if is_written else 'cancelled, or taken over by another worker.'}")

    def _leave(self) -> None:
        self._try(lambda: self.parts.workers.remove(self.name, "its worker was stopped."))

    def _try(self, call: Callable[[], T]) -> T | None:
        """What a call gives; None where the database is away, which the next heartbeat says."""
        try:
            return call()
        except StorageError:
            return None
