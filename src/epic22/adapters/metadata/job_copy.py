"""Moving jobs with their attempts and events, and schedules, from one database to another."""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, func, insert, select

from epic22.adapters.metadata.database import SCHEMA, Database
from epic22.adapters.metadata.schema import JOB_ATTEMPTS, JOB_EVENTS, JOB_VERSIONS, JOBS, SCHEDULES
from epic22.adapters.receipt_copy import CopyCounts
from epic22.core.errors import StorageError

TABLES: tuple[Table, ...] = (JOBS, JOB_ATTEMPTS, JOB_VERSIONS, SCHEDULES)
"""What is copied, a table before those that refer to it; workers stay where they work, and what waits is queued anew there."""


def count_jobs(database: Database) -> int:
    """How many jobs a database has; none where it is a file that is not there."""
    if database.is_sqlite and not database.path.exists():
        return 0
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(JOBS)).scalar_one())


def refuse_running_jobs(database: Database) -> None:
    """Raise StorageError where a job runs: what it changes meanwhile would be in one place alone."""
    if database.is_sqlite and not database.path.exists():
        return
    with database.read() as connection:
        running = list(connection.execute(select(JOBS.c.id).where(JOBS.c.state == "running").order_by(JOBS.c.id)).scalars())
    if running:
        numbers = ", ".join(map(str, running[:5]))
        raise StorageError(f"job {numbers} runs in {database.place}: wait for its end, or end it with 'epic22 jobs cancel'.")


def copy_jobs(source: Database, target: Database) -> CopyCounts:
    """Copy all jobs and schedules, whole or not at all. Raises StorageError where other jobs are there already."""
    if source.is_sqlite and not source.path.exists():
        return CopyCounts(0, 0)
    with source.read() as connection:
        rows = {table.name: _read_rows(connection, table) for table in TABLES}
    refuse_running_jobs(source)
    if not (rows[JOBS.name] or rows[SCHEDULES.name]):
        return CopyCounts(0, 0)
    with target.write() as connection, source.read() as reader:
        present = {table.name: _read_rows(connection, table) for table in TABLES}
        if any(present.values()):
            if any(present[name] != rows[name] for name in rows):
                raise StorageError(
                    "other jobs or schedules are there already; nothing was changed. Copy into a store that has none."
                )
            return CopyCounts(0, len(rows[JOBS.name]))
        for table in TABLES:
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])
        for job in rows[JOBS.name]:
            # A job's at a time: one may have thousands.
            events = [dict(row._mapping) for row in reader.execute(select(JOB_EVENTS).where(JOB_EVENTS.c.job == job["id"]))]
            if events:
                connection.execute(insert(JOB_EVENTS), events)
        if not target.is_sqlite:
            # Numbers that were given are not counted by the server itself.
            newest = (
                f"SELECT setval(pg_get_serial_sequence('{SCHEMA}.jobs', 'id'), max(id)) FROM {SCHEMA}.jobs HAVING count(*) > 0"
            )
            connection.exec_driver_sql(newest)
    return CopyCounts(len(rows[JOBS.name]), 0)


def _read_rows(connection: Connection, table: Table) -> Sequence[dict[str, object]]:
    query = select(table).order_by(*table.primary_key.columns)
    return [dict(row._mapping) for row in connection.execute(query)]
