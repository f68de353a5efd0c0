"""MLflow's runs, written by training alone: in an SQLite database in EPIC22_HOME, or on the server of EPIC22_DATABASE_URL.

Each training is a run with the champion's metrics, a step a fold, its parameters, pictures, report and bundle; each family raced
is a nested run. The registered model's alias `champion` mirrors the registry's pointer; serving never reads MLflow.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from epic22.adapters.file_store import FileStore
from epic22.adapters.tracking.mlflow_store import locate_files
from epic22.core.errors import StorageError
from epic22.core.lineage import ModelVersion
from epic22.core.ports import FamilyRecord, RunRecord

if TYPE_CHECKING:
    from mlflow.entities import Metric as MlflowMetric
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
        """Write the training and its families down, one training at a time.

        Raises StorageError where the database cannot be opened.
        """
        with self.store.lock():
            return self._log_run(self._client(), run)

    def _log_run(self, client: "MlflowClient", run: RunRecord) -> str:
        experiment = self._find_or_create_experiment(client, run.version.task)
        tags = {
            "epic22.model_hash": run.version.model_hash,
            "epic22.data_version": run.data_version.id,
            "epic22.version": run.version.version,
            "epic22.status": run.version.status,
        }
        name = f"{run.version.task} v{run.version.version}"
        parent = str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
        runs = [parent]
        try:
            self._log_evaluation(client, parent, run.leaderboard[0], run.parameters, run.metrics)
            self._add_files(parent, run)
            for evaluation in run.leaderboard:
                nested = {"mlflow.parentRunId": parent}
                child = str(client.create_run(experiment, run_name=evaluation.family, tags=nested).info.run_id)
                runs.append(child)
                self._log_evaluation(client, child, evaluation, {"family": evaluation.family}, {})
                client.set_terminated(child)
            client.set_terminated(parent)
            self._register_version(client, run.version, parent)
        except BaseException:
            self._discard_runs(client, run.version.task, runs)
            raise
        return parent

    def _discard_runs(self, client: "MlflowClient", task: str, runs: Sequence[str]) -> None:
        """Take back what was half-written of runs: their files, and as far as the disk lets it, their rows."""
        from mlflow.exceptions import MlflowException

        with suppress(StorageError):
            for run in runs:
                self.store.files.remove(f"{task}/{run}")
        with suppress(MlflowException):
            for run in runs:
                client.delete_run(run)

    def mark_champion(self, version: ModelVersion) -> None:
        """Point the alias `champion` at the model version that carries this registry version."""
        with self.store.lock():
            client = self._client()
            for stored in client.search_model_versions(f"name = '{version.task}'"):
                if stored.tags.get("epic22.version") == version.version:
                    client.set_registered_model_alias(version.task, "champion", stored.version)

    def _client(self) -> "MlflowClient":
        """The client; to be called under the lock."""
        if self._cached_client is None:
            self._cached_client = self.store.open()
        return self._cached_client

    def _find_or_create_experiment(self, client: "MlflowClient", task: str) -> str:
        experiment = client.get_experiment_by_name(task)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(client.create_experiment(task, artifact_location=locate_files(self.store.files, task)))

    def _log_evaluation(
        self,
        client: "MlflowClient",
        run_id: str,
        evaluation: FamilyRecord,
        parameters: Mapping[str, str],
        more: Mapping[str, float],
    ) -> None:
        from mlflow.entities import Param

        client.log_batch(
            run_id,
            metrics=_build_metrics(evaluation, more),
            params=[Param(name, value[:6000]) for name, value in parameters.items()],
        )

    def _add_files(self, run_id: str, run: RunRecord) -> None:
        """Put bundle, report and pictures where MLflow looks for a run's files."""
        place = f"{run.version.task}/{run_id}/artifacts"
        paths = {f"bundle/{path.relative_to(run.bundle).as_posix()}": path for path in run.bundle.rglob("*") if path.is_file()}
        for name, path in (paths | {run.report.name: run.report}).items():
            self.store.files.write(f"{place}/{name}", path.read_bytes())
        for name, picture in run.figures.items():
            self.store.files.write(f"{place}/pictures/{name}.png", picture)

    def _register_version(self, client: "MlflowClient", version: ModelVersion, run_id: str) -> None:
        if not client.search_registered_models(f"name = '{version.task}'"):
            client.create_registered_model(version.task)
        source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
        tags = {"epic22.version": version.version, "epic22.model_hash": version.model_hash}
        client.create_model_version(version.task, source, run_id, tags=tags)


def _build_metrics(evaluation: FamilyRecord, more: Mapping[str, float]) -> list["MlflowMetric"]:
    """Each score with its interval, its steps, and more metrics; undefined ones are left out."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points: list[tuple[str, float, int]] = [
        ("fit_seconds", evaluation.fit_seconds, 0),
        ("row_ms", evaluation.ms_per_row, 0),
        *((name, value, 0) for name, value in more.items()),
    ]
    for name, (value, low, high) in evaluation.scores.items():
        points += [(name, value, 0), (f"{name}_low", low, 0), (f"{name}_high", high, 0)]
    for name, values in evaluation.steps.items():
        points += [(name, value, step) for step, value in enumerate(values)]
    metrics: list[Any] = [Metric(name, value, now, step) for name, value, step in points if math.isfinite(value)]
    return metrics
