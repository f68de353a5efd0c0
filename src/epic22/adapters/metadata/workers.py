"""Which workers there are, in the metadata database, and what of a dead one goes back to the queue."""

import socket
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from epic22 import __version__
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.jobs import lose_attempt, now, to_text
from epic22.adapters.metadata.schema import JOB_ATTEMPTS, JOBS, WORKERS
from epic22.adapters.metadata.sessions import end_sessions, name_attempt_session, name_worker_session
from epic22.core.job import AttemptId, LostAttempt, decide_retry


@dataclass(frozen=True)
class WorkerTable:
    """A row a worker with a count of its heartbeats. No clock is compared with another: whoever sees a count stand still for long
    by its own clock takes the worker for dead."""

    database: Database
    program: str = __version__

    def register(self, worker: str) -> None:
        """Keep that a worker lives."""
        values = {"id": worker, "host": socket.gethostname(), "program": self.program, "began_at": to_text(now())}
        with self.database.write() as connection:
            connection.execute(insert(WORKERS).values(**values, beats=0))

    def beat(self, worker: str) -> bool:
        """Count a heartbeat; False where others took the worker for dead meanwhile."""
        with self.database.write() as connection:
            counted = update(WORKERS).where(WORKERS.c.id == worker).values(beats=WORKERS.c.beats + 1)
            return connection.execute(counted).rowcount > 0

    def read_beats(self) -> dict[str, int]:
        """The count of each worker's heartbeats; of workers that run something and are not among them, 0."""
        with self.database.read() as connection:
            running = select(JOBS.c.worker).where((JOBS.c.state == "running") & JOBS.c.worker.is_not(None))
            unknown = {str(worker): 0 for worker in connection.execute(running).scalars()}
            return unknown | {row.id: row.beats for row in connection.execute(select(WORKERS.c.id, WORKERS.c.beats))}

    def remove(self, worker: str, reason: str) -> tuple[LostAttempt, ...]:
        """Take a worker for dead: what it ran waits for the next attempt. Gives the attempts that it had under way.

        Its sessions at the server, and those of its processes, are ended first: asleep, they would keep what they have locked.
        """
        newest = (JOBS.c.id == JOB_ATTEMPTS.c.job) & (JOBS.c.attempt == JOB_ATTEMPTS.c.number)
        runs = (JOBS.c.state == "running") & (JOBS.c.worker == worker)
        query = select(JOB_ATTEMPTS, JOBS.c.faults).join(JOBS, newest).where(runs)
        with self.database.read() as connection:
            under_way = [AttemptId(row.job, row.number) for row in connection.execute(query)]
        end_sessions(self.database, (name_worker_session(worker), *map(name_attempt_session, under_way)))
        with self.database.write() as connection:
            lost = []
            for row in connection.execute(query).all():
                attempt = AttemptId(row.job, row.number)
                if lose_attempt(connection, attempt, decide_retry(row.faults, reason)):
                    lost.append(LostAttempt(attempt, row.host, row.process))
            connection.execute(delete(WORKERS).where(WORKERS.c.id == worker))
            return tuple(lost)
