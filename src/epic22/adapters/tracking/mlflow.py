"""MLflow's runs, written by training alone: in an SQLite database in EPIC22_HOME, or on the server of EPIC22_DATABASE_URL.

Each training is a run with the champion's metrics, a step a fold, its parameters, pictures, report and bundle; each family raced
is a nested run. The registered model's alias `champion` mirrors the registry's pointer; serving never reads MLflow.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from epic22.adapters.file_store import FileStore
from epic22.adapters.tracking.mlflow_model import MODEL
from epic22.adapters.tracking.mlflow_store import locate_files
from epic22.adapters.tracking.run_tables import RunFolder, insert_runs
from epic22.adapters.tracking.run_tree import HASH, VERSION, build_run_tree
from epic22.adapters.tracking.stored_run import RunTree, read_content
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion
from epic22.core.run_record import RunRecord

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class TrackingStore(Protocol):
    """Where MLflow keeps its tables and the runs' files: below a home, or on a server that several machines share."""

    @property
    def place(self) -> str:
        """Where the tables are, for people."""

    @property
    def files(self) -> FileStore:
        """The runs' files, `<task>/<run>/artifacts/…`."""

    def prepare(self) -> None:
        """Mend what can be mended before a training begins. Raises StorageError for what would be refused after it."""

    def lock(self) -> AbstractContextManager[None]:
        """Wait until no other process writes to the store, and keep the others waiting."""

    def open(self) -> "MlflowClient":
        """A client on the tables, which are made where there are none; to be called under the lock. Raises StorageError."""


class MlflowTracker:
    """Runs in MLflow's tables, their files in the store of files beside them."""

    def __init__(self, store: TrackingStore) -> None:
        self.store = store
        self._cached_client: MlflowClient | None = None

    def prepare(self) -> None:
        """Mend what can be mended before a training begins. Raises StorageError for what would be refused after it."""
        self.store.prepare()

    def log_run(self, run: RunRecord) -> str:
        """Write the training, its families and the trials of its search down, one training at a time.

        Raises StorageError where the tables or the files cannot be written; then nothing of it is left.
        """
        tree = build_run_tree(run)
        with self._write() as client:
            self._write_tree(client, tree)
            try:
                self._register_version(client, run.version, tree.id)
            except BaseException:
                self._discard(client, tree)
                raise
        return tree.id

    def mark_champion(self, version: ModelVersion) -> None:
        """Point the alias `champion` at the model version that carries this registry version."""
        with self._write() as client:
            for stored in client.search_model_versions(f"name = '{version.task}'"):
                if stored.tags.get(VERSION) == version.version:
                    client.set_registered_model_alias(version.task, "champion", stored.version)

    @contextmanager
    def _write(self) -> Iterator["MlflowClient"]:
        """The client, while no other process writes."""
        with self.store.lock():
            yield self._client()

    def _client(self) -> "MlflowClient":
        """The client; to be called under the lock."""
        if self._cached_client is None:
            self._cached_client = self.store.open()
        return self._cached_client

    def _write_tree(self, client: "MlflowClient", tree: RunTree) -> None:
        """Write the files, then all runs in one transaction; nothing of both is left where that fails."""
        experiment = self._find_or_create_experiment(client, tree.task)
        try:
            for name, content in tree.files.items():
                self.store.files.write(f"{tree.task}/{tree.id}/artifacts/{name}", read_content(content))
            insert_runs(client, experiment, tree.runs)
        except BaseException:
            self._remove_files(tree)
            raise

    def _discard(self, client: "MlflowClient", tree: RunTree) -> None:
        """Take back a tree that was written: its files, and as far as the disk lets it, its rows."""
        from mlflow.exceptions import MlflowException

        self._remove_files(tree)
        with suppress(MlflowException):
            for run in tree.runs:
                client.delete_run(run.id)

    def _remove_files(self, tree: RunTree) -> None:
        with suppress(StorageError):
            self.store.files.remove(f"{tree.task}/{tree.id}")

    def _find_or_create_experiment(self, client: "MlflowClient", task: str) -> RunFolder:
        experiment = client.get_experiment_by_name(task)
        if experiment is not None:
            return RunFolder(str(experiment.experiment_id), str(experiment.artifact_location))
        location = locate_files(self.store.files, task)
        return RunFolder(str(client.create_experiment(task, artifact_location=location)), location)

    def _register_version(self, client: "MlflowClient", version: ModelVersion, run_id: str) -> None:
        if not client.search_registered_models(f"name = '{version.task}'"):
            client.create_registered_model(version.task)
        source = f"{client.get_run(run_id).info.artifact_uri}/{MODEL}"
        client.create_model_version(version.task, source, run_id, tags={VERSION: version.version, HASH: version.model_hash})
