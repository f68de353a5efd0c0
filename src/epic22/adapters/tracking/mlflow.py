"""MLflow's runs, written by training alone: in an SQLite database in EPIC22_HOME, or on the server of EPIC22_DATABASE_URL.

Each training is a run with the champion's metrics, a step a fold, its parameters, pictures, report and model; each family raced
is a nested run, and so is, below a search, each of its trials. The registered model's aliases mirror the registry; serving never
reads MLflow. A training is not lost for a store that is away: its run then waits in a file of the home.
"""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from epic22.adapters.tracking.run_archive import read_archive, write_archive
from epic22.adapters.tracking.run_tree import VERSION, build_run_tree
from epic22.adapters.tracking.run_writer import remove_training, write_and_register
from epic22.adapters.tracking.stored_run import RunTree
from epic22.adapters.tracking.tracking_store import TrackingStore
from epic22.core.errors import FileError, StorageError, describe_storage_fault
from epic22.core.run_record import RunRecord

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

WAITING = "untracked-runs"
"""The folder of a home for runs that wait until the store can be used again."""


class MlflowTracker:
    """Runs in MLflow's tables, their files in the store of files beside them.

    `waiting` is the folder where a run is kept that the store did not take; where there is none, that is an error.
    """

    def __init__(self, store: TrackingStore, waiting: Path | None = None) -> None:
        self.store, self.waiting = store, waiting
        self._cached_client: MlflowClient | None = None

    def prepare(self) -> None:
        """Mend what can be mended before a training begins. Raises StorageError for what would be refused after it."""
        self.store.prepare()

    def log_run(self, run: RunRecord) -> str:
        """Write the training, its families and the trials of its search down, one training at a time, and those that waited. What
        an earlier attempt at it wrote before it was killed is replaced.

        Raises StorageError where the tables or the files cannot be written, and the run cannot wait; nothing is left of it then.
        """
        tree = build_run_tree(run)
        try:
            with self._open() as client:
                remove_training(client, self.store, tree.task, tree.id)
                write_and_register(client, self.store, tree)
        except StorageError as fault:
            self._keep_waiting(tree, fault)
            return tree.id
        self._deliver_waiting()
        return tree.id

    def mark_versions(self, task: str, champion: str | None, challenger: str | None) -> None:
        """Have the aliases `champion` and `challenger` of a task point to the registry's versions of these numbers, or to none.

        Raises StorageError where the store cannot be used, and runs may not wait for it either.
        """
        try:
            with self._open() as client:
                _mark_versions(client, task, {"champion": champion, "challenger": challenger})
        except StorageError as fault:
            if self.waiting is None:
                raise
            _warn(f"MLflow's aliases of {task} stay as they were until its next training or promotion", str(fault))

    @contextmanager
    def _open(self) -> Iterator["MlflowClient"]:
        """The client, while no other process writes. Raises StorageError, also for what a disk refuses the runs' files."""
        try:
            with self.store.lock():
                yield self._client()
        except FileNotFoundError:
            # A file of the training itself is not there, which no waiting mends.
            raise
        except (OSError, sqlite3.Error) as error:
            reason = describe_storage_fault(error, self.store.place) or f"{self.store.place}: {error}"
            raise StorageError(f"{reason}; the run was not written down.") from error

    def _client(self) -> "MlflowClient":
        """The client; to be called under the lock."""
        if self._cached_client is None:
            self._cached_client = self.store.open()
        return self._cached_client

    def _keep_waiting(self, tree: RunTree, fault: StorageError) -> None:
        """Write a run that the store did not take into a file of its own. Raises the fault where that cannot be done either."""
        if self.waiting is None:
            raise fault
        path = self.waiting / f"{tree.task}-{tree.runs[0].tags[VERSION]}-{tree.id[:8]}.zip"
        for earlier in self.waiting.glob(f"{tree.task}-*-{tree.id[:8]}.zip"):
            earlier.unlink(missing_ok=True)
        try:
            write_archive(path, [tree])
        except OSError:
            raise fault from None
        _warn(f"the training is whole, and only its tracking waits, in {path}, for the next one that can be tracked", str(fault))

    def _deliver_waiting(self) -> None:
        """Write down what waited, so far as that can be done now."""
        for path in sorted(self.waiting.glob("*.zip")) if self.waiting is not None else ():
            try:
                trees = read_archive(path)
                with self._open() as client:
                    for tree in trees:
                        write_and_register(client, self.store, tree)
            except (StorageError, FileError) as fault:
                _warn(f"a run goes on waiting in {path}", str(fault))
            else:
                path.unlink(missing_ok=True)


def _mark_versions(client: "MlflowClient", task: str, numbers: dict[str, str | None]) -> None:
    versions = sorted(client.search_model_versions(f"name = '{task}'"), key=lambda one: int(one.version))
    # A number that a killed training left behind is the registry's again for the next: the later one counts.
    stored = {one.tags.get(VERSION): one.version for one in versions}
    present = client.get_registered_model(task).aliases if stored else {}
    for alias, number in numbers.items():
        if number in stored:
            client.set_registered_model_alias(task, alias, stored[number])
        elif alias in present:
            client.delete_registered_model_alias(task, alias)


def _warn(what: str, reason: str) -> None:
    structlog.wrap_logger(structlog.PrintLogger(sys.stderr)).warning(what, reason=reason)
