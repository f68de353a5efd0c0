"""MLflow's SQLite database below EPIC22_HOME as a file: made whole or not at all, and mended, by one process at a time.

MLflow makes its tables in dozens of steps that are no transaction. They are made in a file aside, which is moved into place when
it is whole; a kill leaves only that file, and the next training makes it again.
"""

import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from epic22.adapters.file_store import FileStore, FolderFiles
from epic22.adapters.home import wait_for_lock
from epic22.adapters.tracking.mlflow_tables import read_tables
from epic22.core.errors import StorageError, describe_storage_fault

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set before MLflow is imported: it reports nothing to anybody."""

DATABASE, ARTIFACTS, LOCK, NEW_PREFIX = "mlflow.db", "mlflow-artifacts", ".mlflow.lock", ".mlflow-new-"
COMPANIONS = ("", "-wal", "-shm", "-journal")
"""The endings of the files that are one SQLite database."""

PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps whole paths, by table and column."""


@dataclass(frozen=True)
class MlflowStore:
    """The database of one home, and its folder of the runs' files."""

    home: Path

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.home / DATABASE

    @property
    def place(self) -> str:
        """The file of the database."""
        return str(self.database)

    @property
    def files(self) -> FolderFiles:
        """The runs' files."""
        return FolderFiles(self.home / ARTIFACTS)

    def prepare(self) -> None:
        """Mend what a kill or a move of the home left, and refuse before a training what could not be written after it.

        Raises StorageError where the database cannot be opened.
        """
        if self.database.exists():
            with self.lock():
                self.mend()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process writes to the store, which is said where it lasts.

        Raises StorageError, one sentence, for what the database refuses MLflow inside.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / LOCK).open("a") as lock:
            wait_for_lock(lock, "the tracking of a training")
            with self._translate_faults():
                yield

    @contextmanager
    def read(self) -> Iterator["MlflowClient"]:
        """A client for reading alone, under the lock; where the home cannot be written, on a copy of the database as it is now.

        Raises StorageError as `lock` and `open` do.
        """
        if self._is_writable():
            with self.lock():
                yield self.open()
            return
        with tempfile.TemporaryDirectory(prefix="epic22-runs-") as folder:
            copy = MlflowStore(Path(folder))
            self._copy_database(copy.database)
            with copy.lock():
                yield copy.open()
            _close_connections(copy.database)

    def _is_writable(self) -> bool:
        """Whether this user may make the lock, and change the database."""
        place = next(folder for folder in (self.home, *self.home.parents) if folder.exists())
        return all(os.access(one, os.W_OK) for one in (place, self.home / LOCK, self.database) if one.exists())

    def _copy_database(self, to: Path) -> None:
        """Copy the database, if there is one, without a change to its folder. Raises StorageError."""
        if not self.database.exists():
            return
        try:
            address = f"{self.database.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=20)) as old, closing(sqlite3.connect(to)) as new:
                old.backup(new)
        except sqlite3.OperationalError:
            # Nobody writes it: who did would have made the file beside it that a reader needs.
            for ending in ("", "-wal"):
                if (file := Path(f"{self.database}{ending}")).exists():
                    shutil.copyfile(file, f"{to}{ending}")

    @contextmanager
    def _translate_faults(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Who never imported MLflow has no error of it.
            exceptions = sys.modules.get("mlflow.exceptions")
            if exceptions is None or not isinstance(error, exceptions.MlflowException):
                raise
            reason = describe_storage_fault(error) or " ".join(str(error).split())[:200]
            raise StorageError(
                f"{self.database}: the run was refused ({reason}); mend it, or move it away: "
                "a new one is made, and no model needs it."
            ) from error

    def mend(self) -> None:
        """Set a database aside that was never whole or cannot be read, and move whole paths into the home as it is now.

        Without MLflow, in milliseconds; to be called under the lock. The next `open` makes a database where none is left.
        """
        if not self.database.exists():
            return
        if self._count_runs() is None:
            self._set_aside()
        else:
            self._rebase_paths()

    def open(self) -> "MlflowClient":
        """A client on the database, which is made where there is none; to be called under the lock.

        Raises StorageError where it holds runs and this MLflow cannot open it.
        """
        self.mend()
        import_quietly()
        if not self.database.exists():
            self._make()
        elif self._read_revision() != get_current_revision():
            # MLflow itself would refuse it, or upgrade it where it lies, in steps that a kill can part.
            self._renew()
        return connect_client(build_uri(self.database))

    def _renew(self) -> None:
        """Upgrade a database of another revision, or make it again where it holds no run."""
        from alembic.util.exc import CommandError
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if not self._count_runs():
            self._set_aside()
            self._make()
            return
        try:
            self._upgrade()
        except (CommandError, MlflowException, SQLAlchemyError) as error:
            raise StorageError(
                f"{self.database}: this MLflow cannot upgrade it ({str(error)[:200]}); move the file away: a new one is made, "
                "and no model depends on it."
            ) from None

    def _read_revision(self) -> str | None:
        with closing(sqlite3.connect(self.database, timeout=20)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])

    def _count_runs(self) -> int | None:
        """How many runs it holds; None where it is no database, a damaged one, or one whose tables were not all made."""
        try:
            with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=rw", uri=True, timeout=20)) as connection:
                for table in ("alembic_version", "model_versions"):
                    connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) or "no such column" in str(error):
                return None
            # Locked, full, or without rights: nothing is known of what it holds.
            fault = describe_storage_fault(error) or f"it cannot be read ({error})"
            raise StorageError(
                f"{self.database}: {fault}; let this user write it, or move it away: a new one is made, and no model needs it."
            ) from error
        except sqlite3.DatabaseError:
            return None

    def _set_aside(self) -> None:
        """Rename the database, so that nothing of it is lost."""
        aside = self._find_free_name("damaged")
        for ending in reversed(COMPANIONS):
            if (file := Path(f"{self.database}{ending}")).exists():
                os.replace(file, f"{aside}{ending}")
        if "mlflow" in sys.modules:
            _close_connections(self.database)
        log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
        log.warning("tracking database was damaged or never finished; a new one is made", kept_as=str(aside))

    def _find_free_name(self, what: str) -> Path:
        number = 1
        while (path := self.home / f"{DATABASE}.{what}-{number}").exists():
            number += 1
        return path

    def _make(self) -> None:
        """Make a database without runs; what is logged without an experiment lies in this home too."""
        with self._write_aside() as aside:
            script = read_tables(get_current_revision())
            if script is None:
                connect_client(build_uri(aside))
            with closing(sqlite3.connect(aside)) as connection, connection:
                connection.executescript(script or "")
                place, now = locate_files(self.files, "Default"), round(time.time() * 1000)
                update = "UPDATE experiments SET artifact_location = ?, creation_time = ?, last_update_time = ?"
                connection.execute(f"{update} WHERE name = 'Default'", (place, now, now))

    def _upgrade(self) -> None:
        """Bring the tables of an earlier MLflow to this one's form, in a copy; the file of before is kept."""
        tables: Any = import_module("mlflow.store.db.utils")
        with self._write_aside() as aside:
            with closing(sqlite3.connect(self.database)) as old, closing(sqlite3.connect(aside)) as new:
                old.backup(new)
                old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            engine = tables.create_sqlalchemy_engine(build_uri(aside))
            tables._upgrade_db(engine)
            engine.dispose()
            connect_client(build_uri(aside))
            shutil.copy2(self.database, self._find_free_name("before"))

    @contextmanager
    def _write_aside(self) -> Iterator[Path]:
        """A path to write a whole database to, which then takes the place of the database; nothing is left where that fails."""
        self._remove_unfinished()
        # MLflow remembers what it opened by its address: one that was used before would not be made again.
        aside = self.home / f"{NEW_PREFIX}{uuid.uuid4().hex}.db"
        try:
            with closing(sqlite3.connect(aside)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            yield aside
            _close_connections(aside)
            with closing(sqlite3.connect(aside)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            os.replace(aside, self.database)
            _close_connections(self.database)
        finally:
            self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for file in self.home.glob(f"{NEW_PREFIX}*"):
            file.unlink(missing_ok=True)

    def _rebase_paths(self) -> None:
        """Point paths into another home's artifacts to this one's, where the task has files here: it was moved or copied."""
        prefix = locate_files(self.files, "")
        with closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            existing = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table, column in PLACES:
                if table in existing:
                    self._rebase_column(connection, table, column, prefix)

    def _rebase_column(self, connection: sqlite3.Connection, table: str, column: str, prefix: str) -> None:
        query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE ? AND substr({column}, 1, ?) <> ?"
        for (stored,) in connection.execute(query, (f"%/{ARTIFACTS}/%", len(prefix), prefix)).fetchall():
            rest = stored.rpartition(f"/{ARTIFACTS}/")[2]
            if (self.files.root / rest.partition("/")[0]).exists():
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (prefix + rest, stored))


def locate_files(files: FileStore, name: str) -> str:
    """The address by which MLflow reads what is below a name; below all of them, with a slash at its end, where it is empty.

    >>> locate_files(FolderFiles(Path("/srv/mlflow")), "churn")
    'file:///srv/mlflow/churn'
    """
    root = files.locate("")
    address = root if "://" in root else Path(root).absolute().as_uri()
    return f"{address.rstrip('/')}/{name}"


def build_uri(database: Path) -> str:
    """The database's address, in which what would be read as an escape or as options is escaped.

    >>> build_uri(Path("/tmp/100%?/mlflow.db"))
    'sqlite:////tmp/100%25%3F/mlflow.db'
    """
    return f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"


def get_current_revision() -> str:
    """The form of the tables that this MLflow works with."""
    tables: Any = import_module("mlflow.store.db.utils")
    return str(tables._get_latest_schema_revision())


def import_quietly() -> None:
    """Import MLflow so that it reports nothing to anybody and prints no traceback of what it raises."""
    os.environ.update({name: value for name, value in QUIET_ENVIRONMENT.items() if name not in os.environ})
    import_module("mlflow.tracking")
    # MLflow sets its own level on import.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def connect_client(uri: str) -> "MlflowClient":
    """A client on a database, its tables made where there are none and their form checked."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    # Both of its stores open only when they are first asked.
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    return client


def _close_connections(database: Path) -> None:
    """Let go of the file, which MLflow keeps open for the life of the process."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as ModelTables
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as RunTables

    for tables in (RunTables, ModelTables):
        engine = tables._engine_map.get(build_uri(database))
        if engine is not None:
            engine.dispose()
