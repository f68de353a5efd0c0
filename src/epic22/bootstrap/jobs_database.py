"""The database that has the jobs; no library but the database's own is loaded for it."""

from typing import TYPE_CHECKING

from epic22.config import Settings

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database

JOBS = "jobs"
"""The folder of the home for jobs: their logs, and without a database what is known of them."""


def open_jobs_database(settings: Settings, session: str | None = None) -> "Database":
    """The database of the settings, in which sessions are called so, or an SQLite file in the home."""
    from epic22.adapters.metadata.database import Database

    if settings.database_url is not None:
        return Database(settings.database_url, session=session)
    return Database(f"sqlite:///{settings.home / JOBS / 'jobs.sqlite'}", "EPIC22_HOME")
