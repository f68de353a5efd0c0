"""MLflow's tables in a schema of the PostgreSQL server that several machines share, and its runs' files where theirs are.

MLflow makes its tables, and brings them to another form, in one transaction each: a kill leaves what was before, and the next
training goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from epic22.adapters.file_store import FileStore
from epic22.adapters.metadata.database import Database
from epic22.adapters.metadata.library_schema import RUNS, open_schema
from epic22.adapters.metadata.locks import hold_lock
from epic22.adapters.tracking.mlflow_store import connect_client, get_current_revision, import_quietly, locate_files
from epic22.core.errors import StorageError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

FOLDER = "mlflow"
"""The folder of the runs' files among the artifacts."""


@dataclass(frozen=True)
class MlflowDatabase:
    """Runs in the schema `epic22_mlflow` of a server, their files in a file store."""

    database: Database
    files: FileStore

    @property
    def place(self) -> str:
        """The schema and its database; never a user's name or password."""
        return f"schema {RUNS} of {self.database.place}"

    def prepare(self) -> None:
        """Raise StorageError where the server cannot be reached."""
        self._read_revision()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process on any machine writes to the store, which is said where it lasts.

        Raises StorageError, one sentence, for what the server refuses inside.
        """
        with self._translate_faults(), hold_lock(self.database, "mlflow", "the tracking of a training"):
            yield

    @contextmanager
    def read(self) -> Iterator["MlflowClient"]:
        """A client for reading, under the lock. Raises StorageError."""
        with self.lock():
            yield self.open()

    def open(self) -> "MlflowClient":
        """A client on the tables, which are made or brought to this MLflow's form; to be called under the lock.

        Raises StorageError where they are of another MLflow that this one cannot follow.
        """
        url, revision = open_schema(self.database, RUNS), self._read_revision()
        import_quietly()
        if revision is not None and revision != get_current_revision():
            self._upgrade(url, revision)
        client = connect_client(url)
        self._point_experiments()
        return client

    def _read_revision(self) -> str | None:
        """The form of the tables; None where there are none."""
        with self.database.read() as connection:
            if connection.exec_driver_sql(f"SELECT to_regclass('{RUNS}.alembic_version')").scalar() is None:
                return None
            revision = connection.exec_driver_sql(f"SELECT version_num FROM {RUNS}.alembic_version").scalar()
        return None if revision is None else str(revision)

    def _upgrade(self, url: str, revision: str) -> None:
        """Bring the tables of an earlier MLflow to this one's form."""
        from alembic.util.exc import CommandError

        tables: Any = import_module("mlflow.store.db.utils")
        engine = tables.create_sqlalchemy_engine(url)
        try:
            tables._upgrade_db(engine)
        except CommandError:
            raise StorageError(
                f"{self.database.place}: the runs in schema {RUNS} are of another MLflow (their tables are at {revision[:20]}); "
                f"use the epic22 that wrote them, or rename the schema: a new one is made, and no model depends on it."
            ) from None
        finally:
            engine.dispose()

    def _point_experiments(self) -> None:
        """Have the next runs' files lie where the settings say, wherever those of the runs before do."""
        root = locate_files(self.files, "")
        with self.database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE {RUNS}.experiments SET artifact_location = %(root)s || name WHERE artifact_location <> %(root)s || name",
                {"root": root},
            )

    @contextmanager
    def _translate_faults(self) -> Iterator[None]:
        """Raise StorageError for what the server refuses MLflow, which wraps it."""
        from sqlalchemy.exc import DBAPIError

        try:
            yield
        except Exception as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, DBAPIError):
                cause = cause.__cause__ or cause.__context__
            if cause is None or isinstance(error, StorageError):
                raise
            with self.database.translate_faults():
                raise cause from error
