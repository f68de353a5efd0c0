"""The queue of jobs: DBOS, with its tables in an SQLite file or a schema of their own.

An entry is an attempt at a job, "17/3", and its only argument is that text. DBOS hands each to one worker, by priority; what an
attempt may do, and what follows it, our own tables say. So nothing of a job is lost with DBOS's tables, and a worker that wakes
after a take-over finds only its own old entry.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from epic22.adapters.metadata.sessions import name_worker_session
from epic22.core.errors import StorageError
from epic22.core.job import AttemptId, JobRecord

QUEUE = "epic22_jobs"
WORKFLOW = "run_attempt"
POLL_SECONDS = 1.0
"""How often DBOS asks for the next entry, while a job runs too: five times a second took 2 % of a core, more than all else that a
worker does beside a training."""
CLOSING_SECONDS = 20
PICKLE = "py_pickle"
PENDING = ("ENQUEUED", "DELAYED", "PENDING")


@dataclass(frozen=True)
class DbosQueue:
    """DBOS as this worker, in a database of SQLAlchemy's address `url`, which may hold a password, and there in a schema.

    `program` is the version of this program: a worker takes entries of its own version alone.
    """

    url: str
    schema: str | None
    worker: str
    program: str

    @contextmanager
    def open(self, run: Callable[[str], None]) -> Iterator[None]:
        """Take attempts from the queue one at a time, and call `run` with the text of each, until closed.

        Raises StorageError where the database cannot be used.
        """
        refuse_unpickling()
        from dbos import DBOS

        DBOS(config=self._build_config())
        DBOS.workflow(name=WORKFLOW)(_as_workflow(run))
        DBOS.listen_queues([QUEUE])
        try:
            _launch(self.worker)
            yield
        finally:
            DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=CLOSING_SECONDS)

    def _build_config(self) -> Any:
        from dbos._serialization import DBOSPortableJSON

        arguments = {} if self.schema is None else {"connect_args": {"application_name": name_worker_session(self.worker)}}
        return {
            "name": "epic22",
            "db_engine_kwargs": arguments,
            "system_database_url": self.url,
            "dbos_system_schema": self.schema or "dbos",
            "application_version": self.program,
            "executor_id": self.worker,
            "serializer": DBOSPortableJSON,
            "enable_otlp": False,
            "log_level": "CRITICAL",
            "sys_db_pool_size": 6,
            "max_executor_threads": 8,
        }

    def put(self, job: JobRecord) -> bool:
        """Queue the next attempt at a job, once however often this is called; False where its entry is used up already."""
        from dbos import DBOS

        attempt = str(AttemptId(job.id, job.attempt + 1))
        handle: Any = DBOS.enqueue_workflow_with_options(
            {
                "workflow_name": WORKFLOW,
                "queue_name": QUEUE,
                "workflow_id": attempt,
                "app_version": job.program,
                "priority": job.request.priority,
            },
            attempt,
        )
        return handle.get_status().status in PENDING

    def list_queued(self) -> frozenset[str]:
        """The attempts that wait in the queue, or that a worker has."""
        from dbos import DBOS

        entries = DBOS.list_workflows(status=list(PENDING), name=WORKFLOW, load_input=False, load_output=False)
        return frozenset(entry.workflow_id for entry in entries)

    def withdraw(self, attempts: Sequence[AttemptId]) -> None:
        """Remove attempts that a dead worker had under way."""
        from dbos import DBOS

        DBOS.cancel_workflows([str(attempt) for attempt in attempts])


def _as_workflow(run: Callable[[str], None]) -> Callable[[str], None]:
    def run_attempt(attempt: str) -> None:
        run(attempt)

    return run_attempt


def _launch(worker: str) -> None:
    from dbos import DBOS
    from sqlalchemy.exc import DBAPIError

    try:
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_SECONDS)
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise StorageError(f"the queue of jobs cannot be opened: {reason}; mend that and start the worker again.") from error


def refuse_unpickling() -> None:
    """Have DBOS never unpickle: it does so with a row that is marked so, whatever serializer is set, and whoever can write to the
    database could have code run on every worker. Such an entry ends as an error instead."""
    from dbos import _serialization

    # With a handler of its own DBOS adds none, which would keep the standard error of the first worker of a process.
    logging.getLogger("dbos").handlers = [logging.NullHandler()]
    vars(_serialization)["DefaultSerializer"].deserialize = _refuse_pickle
    vars(_serialization)["DefaultSerializer"].serialize = _describe


def _refuse_pickle(self: object, data: object) -> Any:
    raise TypeError("an entry that is marked as pickle is refused")


def _describe(self: object, data: object) -> str:
    """Why such an entry is refused, where DBOS would write a pickled error."""
    return str(data)
