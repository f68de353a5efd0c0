"""Migrations of the metadata database: each file in `versions` is one step, and Alembic takes those that are missing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from epic22.core.errors import StorageError

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database

VERSION_TABLE = "schema_version"


def read_revision(connection: Connection) -> str | None:
    """The step that a database was brought to; None before the first."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def newest_revision() -> str:
    """The step that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def upgrade(database: "Database") -> None:
    """Make the tables, or bring them up to date, in one transaction; others that come at the same time wait.

    Raises StorageError where the tables are of a newer program.
    """
    with database.engine.connect() as connection:
        revision = _read_existing(connection, database.is_sqlite)
    if revision == newest_revision():
        return
    if revision is not None and revision not in {
        script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()
    }:
        raise StorageError(
            f"the metadata in {database.place} is of a newer epic22 (its tables are at {revision}, this program knows them up to "
            f"{newest_revision()}); use that version, or another database."
        )
    with database.engine.connect() as connection:
        writer = connection.execution_options(epic22_writes=True)
        with writer.begin():
            if not database.is_sqlite:
                # Two that come first at the same moment would both make the schema.
                writer.exec_driver_sql("SELECT pg_advisory_xact_lock(1701863214)")
                # Who may not make schemas may use one that was made for him: IF NOT EXISTS asks for the right all the same.
                if writer.exec_driver_sql("SELECT to_regnamespace('epic22')").scalar() is None:
                    writer.exec_driver_sql("CREATE SCHEMA epic22")
            _take_steps(writer)


def _take_steps(connection: Connection) -> None:
    """Take the steps that are missing, in the connection's transaction."""
    config = _config()
    steps = ScriptDirectory.from_config(config)

    def list_missing(revision: str, context: MigrationContext) -> Any:
        return steps._upgrade_revs("head", revision)

    with EnvironmentContext(config, steps, fn=list_missing) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()


def _read_existing(connection: Connection, is_sqlite: bool) -> str | None:
    """The step of a database whose schema need not be there."""
    if not is_sqlite and not connection.exec_driver_sql("SELECT to_regclass('epic22.schema_version')").scalar():
        return None
    return read_revision(connection)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
