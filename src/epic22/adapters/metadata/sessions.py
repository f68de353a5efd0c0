"""The sessions of workers and attempts at a PostgreSQL server, by name: those of one that is asleep keep its locks until they are
ended."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from epic22.adapters.metadata.database import Database
from epic22.core.job import AttemptId

SESSION_SETTING = "PGAPPNAME"
"""What libraries that connect to PostgreSQL call their sessions, where they are not told otherwise."""
END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = ANY(:names)"
)


def name_worker_session(worker: str) -> str:
    """What the sessions of a worker are called."""
    return f"epic22 worker {worker}"


def name_attempt_session(attempt: AttemptId) -> str:
    """What the sessions of the process of an attempt are called.

    >>> name_attempt_session(AttemptId(17, 3))
    'epic22 attempt 17/3'
    """
    return f"epic22 attempt {attempt}"


def end_sessions(database: Database, names: Iterable[str]) -> None:
    """End the sessions of these names at a server, but for this database's own, with all that they have locked; what they were
    changing is taken back. Nothing where that is not allowed, or the database is a file. Raises StorageError where the server
    does not answer."""
    others = [name for name in names if name != database.session]
    if database.is_sqlite or not others:
        return
    with database.open_session() as session:
        try:
            session.execute(END, {"names": others})
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
