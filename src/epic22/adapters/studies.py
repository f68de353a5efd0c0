"""Studies of searches: a journal file a study in EPIC22_HOME, or all of them in a schema of a PostgreSQL database.

The held-out scores of trials are files below EPIC22_HOME either way: they are large, and fitted again where they are not there.
"""

import fcntl
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from epic22.core.errors import UserError
from epic22.core.selection.study import Study, StudyConfig

if TYPE_CHECKING:
    from epic22.adapters.metadata.database import Database


class _ClaimedRuns:
    """The runs that this process works on: each has a folder and a lock below `home`, a task's runs in one folder."""

    home: Path
    claims: dict[tuple[str, str], IO[bytes]]

    def claim(self, task: str, digest: str) -> None:
        """Claim a run's studies for this process until it ends, among those of the same EPIC22_HOME.

        Raises UserError where another command works on them.
        """
        # The lock ends with the process, however that ends; a search's own processes do not inherit it.
        path = self.home / task / f"{digest}.lock"
        while (task, digest) not in self.claims:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise UserError(describe_claimed_run(task, digest)) from None
            # Who held it may have removed it since it was opened: then it is a lock that nobody else sees.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                self.claims[task, digest] = file
            else:
                file.close()

    def remove(self, task: str, digest: str) -> None:
        """Remove a run's folder, its lock, which is then let go of, and the task's folder where nothing else is in it."""
        folder = self.home / task
        shutil.rmtree(folder / digest, ignore_errors=True)
        if (lock_file := self.claims.pop((task, digest), None)) is not None:
            (folder / f"{digest}.lock").unlink(missing_ok=True)
            lock_file.close()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


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

    def remove(self, task: str, digest: str) -> None:
        """Remove a run's studies and scores, and let go of the database."""
        storage = self._storage()
        for study in storage.get_all_studies():
            if study.study_name.startswith(f"{task}/{digest}/"):
                storage.delete_study(study._study_id)
        super().remove(task, digest)
        if (lock := self.locks.pop((task, digest), None)) is not None:
            lock.close()
        self.connections.pop().engine.dispose()

    def claim(self, task: str, digest: str) -> None:
        """Claim a run's studies for this process until it ends, on all machines of the server.

        Raises UserError where another command works on them, StorageError where the server cannot be reached.
        """
        from epic22.adapters.metadata.locks import try_lock

        super().claim(task, digest)
        if (task, digest) not in self.locks:
            lock = ExitStack()
            if not lock.enter_context(try_lock(self._database, f"study/{task}/{digest}")):
                self.claims.pop((task, digest)).close()
                raise UserError(describe_claimed_run(task, digest))
            self.locks[task, digest] = lock

    @property
    def _database(self) -> "Database":
        from epic22.adapters.metadata.database import Database

        return Database(self.url)

    def _storage(self) -> Any:
        if not self.connections:
            self.connections.append(_connect(self._database))
        return self.connections[0]


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
