"""Studies of searches: a journal file a study in EPIC22_HOME, or all of them in a schema of a PostgreSQL database.

The held-out scores of trials are files below EPIC22_HOME either way: they are large, and fitted again where they are not there.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from epic22.adapters.abandoned import find_abandoned_moment
from epic22.core.errors import StorageError, UserError
from epic22.core.selection.study import Study, StudyConfig

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database

LOG = logging.getLogger(__name__)
STUDIES = "studies"
"""The folder's name below EPIC22_HOME."""
LOCK = ".lock"
LAST_TRIALS = (
    "SELECT study_name, max(coalesce(datetime_complete, datetime_start)) FROM studies JOIN trials USING (study_id) "
    "WHERE datetime_start IS NOT NULL GROUP BY study_name"
)
"""When the last trial of each study in a database began or ended, on the clock of who made it; one without any has no time."""


class _ClaimedRuns:
    """The runs that this process works on: each has a folder and a lock below `home`, a task's runs in one folder."""

    home: Path
    claims: dict[tuple[str, str], IO[bytes]]

    def claim(self, task: str, digest: str) -> None:
        """Claim a run's studies for this process until it ends, among those of the same EPIC22_HOME.

        Raises UserError where another command works on them.
        """
        # The lock ends with the process, however that ends; a search's own processes do not inherit it.
        path = self.home / task / (digest + LOCK)
        while (task, digest) not in self.claims:
            # Another that is done removes its lock, and the folder of the task, at any moment: then once more.
            with suppress(FileNotFoundError), ExitStack() as opened:
                _make_folder(path.parent)
                file = opened.enter_context(path.open("ab"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(describe_claimed_run(task, digest)) from None
                # Who held it may have removed it since it was opened: then it is a lock that nobody else sees.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    self.claims[task, digest] = file
                    opened.pop_all()

    def remove_claimed(self, task: str) -> None:
        """Remove the task's runs that this process has claimed, with their locks, and its folder where nothing else is in it.

        Never raises: what cannot be removed is logged, and goes when it is abandoned.
        """
        folder = self.home / task
        for digest in [digest for name, digest in self.claims if name == task]:
            try:
                self._remove_studies(task, digest)
            except (OSError, UserError) as error:
                LOG.warning("task %s: trials that nobody goes on with were not removed: %s", task, error)
            lock_file = self.claims.pop((task, digest))
            with suppress(OSError):
                (folder / (digest + LOCK)).unlink(missing_ok=True)
            lock_file.close()
        with suppress(OSError):  # it is not there, or another run is in it
            folder.rmdir()

    def release(self) -> None:
        """Let go of the runs that this process has claimed; what there is of them stays. Never raises."""
        while self.claims:
            self.claims.popitem()[1].close()

    @contextmanager
    def translate_faults(self) -> Iterator[None]:
        """Nothing but the disk can refuse anything, and says so itself."""
        yield

    def _remove_studies(self, task: str, digest: str) -> None:
        """Remove what there is of a run that this process has claimed. Raises OSError or UserError where that is refused."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.home / task / digest)


def _make_folder(path: Path) -> None:
    """Make a folder that another may remove at any moment. Raises FileNotFoundError where it did."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if os.path.lexists(path) and not path.is_dir():
            raise
        raise FileNotFoundError(path) from None


def describe_claimed_run(task: str, digest: str) -> str:
    """The message about studies that another command works on."""
    return (
        f"task {task}: another command is making the same search now (study {digest}); wait for it or end it, or "
        "have one command search by several processes with --processes N."
    )


@dataclass(frozen=True)
class StudyFiles(_ClaimedRuns):
    """A folder a run, `home/<task>/<digest>/`, in it a journal and a folder of scores for each training part."""

    home: Path
    claims: dict[tuple[str, str], IO[bytes]] = field(default_factory=dict, repr=False, compare=False)

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        """The study of a training part; one that was interrupted goes on."""
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        folder = self.home / task / digest
        folder.mkdir(parents=True, exist_ok=True)
        journal = folder / f"{part}.journal"
        lock = _ProcessLock(journal)
        storage = JournalStorage(JournalFileBackend(str(journal), cast(Any, lock)))
        return Study(config, storage, part, folder / part)


@dataclass(frozen=True)
class StudyDatabase(_ClaimedRuns):
    """Studies `<task>/<digest>/<part>` in a PostgreSQL database; scores below `home` as for files.

    The url begins with postgresql://; its password is never shown.
    """

    url: str = field(repr=False)
    home: Path
    connections: list[Any] = field(default_factory=list, repr=False)
    claims: dict[tuple[str, str], IO[bytes]] = field(default_factory=dict, repr=False, compare=False)
    locks: dict[tuple[str, str], ExitStack] = field(default_factory=dict, repr=False, compare=False)

    def open(self, task: str, digest: str, part: str, config: StudyConfig) -> Study:
        """The study of a training part; one that was interrupted goes on.

        Raises NotInstalledError without psycopg, StorageError where the database cannot be reached.
        """
        return Study(config, self._storage(), f"{task}/{digest}/{part}", self.home / task / digest / part)

    def remove_claimed(self, task: str) -> None:
        """Remove the studies and scores of the task's runs that this process has claimed, and let go of the database."""
        super().remove_claimed(task)
        self._disconnect()

    def release(self) -> None:
        """Let go of the runs that this process has claimed, and of the database; what there is of them stays. Never raises."""
        super().release()
        while self.locks:
            with suppress(UserError), self.translate_faults():  # without the server the lock is gone already
                self.locks.popitem()[1].close()
        self._disconnect()

    def _disconnect(self) -> None:
        for connection in self.connections:
            connection.engine.dispose()
        self.connections.clear()

    def _remove_studies(self, task: str, digest: str) -> None:
        """Remove a run's scores, then its studies; let go of its lock."""
        super()._remove_studies(task, digest)
        with self.translate_faults(), self.locks.pop((task, digest), ExitStack()):
            self._delete_studies(task, digest)

    def _delete_studies(self, task: str, digest: str) -> None:
        storage = self._storage()
        for study in storage.get_all_studies():
            if study.study_name.startswith(f"{task}/{digest}/"):
                with suppress(KeyError):  # it is gone
                    storage.delete_study(study._study_id)

    def _remove_abandoned(self) -> None:
        """Remove the studies of runs without a trial for two weeks, whoever began them, on which nobody works now."""
        from epic22.adapters.metadata.locks import try_lock

        with self.translate_faults():
            with self._storage().engine.connect() as connection:
                last_trials = connection.exec_driver_sql(LAST_TRIALS).all()
            last_of_runs = dict[tuple[str, str], datetime]()
            for name, last in last_trials:
                task, digest, _ = name.rsplit("/", 2)
                last_of_runs[task, digest] = max(last, last_of_runs.get((task, digest), last))
            moment = datetime.fromtimestamp(find_abandoned_moment())
            for (task, digest), last in last_of_runs.items():
                if last < moment:
                    with try_lock(self._database, _name_lock(task, digest)) as is_free:
                        if is_free:
                            self._delete_studies(task, digest)

    def claim(self, task: str, digest: str) -> None:
        """Claim a run's studies for this process until it ends, on all machines of the server.

        Raises UserError where another command works on them, StorageError where the server cannot be reached.
        """
        from epic22.adapters.metadata.locks import try_lock

        if not self.connections:
            with self.translate_faults():
                self._storage()
            try:
                self._remove_abandoned()
            except UserError as error:
                LOG.warning("studies that nobody goes on with were not removed: %s", error)
        super().claim(task, digest)
        if (task, digest) not in self.locks:
            lock = ExitStack()
            if not lock.enter_context(try_lock(self._database, _name_lock(task, digest))):
                self.claims.pop((task, digest)).close()
                raise UserError(describe_claimed_run(task, digest))
            self.locks[task, digest] = lock

    @property
    def _database(self) -> "Database":
        from epic22.adapters.metadata.database import Database

        return Database(self.url)

    @contextmanager
    def translate_faults(self) -> Iterator[None]:
        """Raise StorageError for what the database refuses, also where Optuna says so in words of its own."""
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import DBAPIError

        with self._database.translate_faults():
            try:
                yield
            except StorageInternalError as error:
                cause = error.__cause__
                if isinstance(cause, DBAPIError):
                    raise cause from None
                raise StorageError(f"studies of searches: {cause or error}") from error

    def _storage(self) -> Any:
        if not self.connections:
            self.connections.append(_connect(self._database))
        return self.connections[0]


def _name_lock(task: str, digest: str) -> str:
    return f"study/{task}/{digest}"


def remove_abandoned_studies(home: Path) -> None:
    """Remove the runs below a folder of studies that nobody has written to for two weeks, nor works on now."""
    store = StudyFiles(home)
    for folder in home.glob("*"):
        for digest in {path.stem for path in folder.glob("*") if path.is_dir() or path.suffix == LOCK}:
            if _find_last_write(folder, digest) < find_abandoned_moment():
                with suppress(UserError, OSError):  # another works on it, or may alone remove it
                    store.claim(folder.name, digest)
        store.remove_claimed(folder.name)


def _find_last_write(folder: Path, digest: str) -> float:
    """When anything of a run was last written, in seconds of `time.time`; 0 where there is nothing of it."""
    paths, last = (folder / (digest + LOCK), folder / digest, *(folder / digest).rglob("*")), 0.0
    for path in paths:
        with suppress(OSError):  # who is done with it removes it
            last = max(last, path.stat().st_mtime)
    return last


def _connect(database: "Database") -> Any:
    """Optuna's storage on that server, in a schema of its own, its tables made where they are not there yet."""
    from optuna.storages import RDBStorage

    from epic22.adapters.metadata.library_schema import STUDIES, open_schema

    url = open_schema(database, STUDIES)
    with database.translate_faults():
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


class _ProcessLock:
    """A journal's lock, which ends with the process that holds it. Optuna's own are files, left for thirty seconds by a kill.

    Whoever takes it cuts off a last line that a kill left half-written: the next one would be appended to it, and neither read.
    """

    def __init__(self, journal: Path) -> None:
        self._journal, self._files = journal, list[IO[bytes]]()

    def acquire(self) -> bool:
        """Wait for the lock; True once it is held."""
        file = self._journal.with_suffix(".lock").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        self._files.append(file)
        _drop_partial_line(self._journal)
        return True

    def release(self) -> None:
        """Let another have it."""
        self._files.pop().close()


def _drop_partial_line(journal: Path) -> None:
    with journal.open("r+b") as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
