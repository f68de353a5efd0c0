"""MLflow on its own SQLite database in EPIC22_HOME, written by training alone.

Each training is a run with the champion's metrics, a step a fold, its parameters, pictures, report and bundle; each family raced
is a nested run. The registered model's alias `champion` mirrors the registry's pointer; serving never reads MLflow.
"""

import logging
import math
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epic22.core.lineage import ModelVersion
from epic22.core.ports import RunRecord, Tracked

if TYPE_CHECKING:
    from mlflow.entities import Metric as MlflowMetric
    from mlflow.tracking import MlflowClient

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Set before MLflow is imported: it reports nothing to anybody."""


class MlflowTracker:
    """Runs in `home`/mlflow.db, their files below `home`/mlflow-artifacts."""

    def __init__(self, home: Path) -> None:
        self.database = home / "mlflow.db"
        self.artifacts = home / "mlflow-artifacts"
        self._opened: MlflowClient | None = None

    @property
    def uri(self) -> str:
        """What `mlflow ui --backend-store-uri` wants."""
        return f"sqlite:///{self.database}"

    def record(self, run: RunRecord) -> str:
        """Write the training and its families down."""
        client = self._client()
        experiment = self._experiment(client, run.version.task)
        tags = {
            "epic22.model_hash": run.version.model_hash,
            "epic22.data_version": run.data_version.id,
            "epic22.version": run.version.version,
            "epic22.status": run.version.status,
        }
        name = f"{run.version.task} v{run.version.version}"
        parent = client.create_run(experiment, run_name=name, tags=tags).info.run_id
        self._write(client, parent, run.leaderboard[0], dict(run.parameters))
        self._write_files(client, parent, run)
        for evaluation in run.leaderboard:
            nested = {"mlflow.parentRunId": parent}
            child = client.create_run(experiment, run_name=evaluation.family, tags=nested).info.run_id
            self._write(client, child, evaluation, {"family": evaluation.family})
            client.set_terminated(child)
        client.set_terminated(parent)
        self._register(client, run.version, parent)
        return str(parent)

    def mark_champion(self, version: ModelVersion) -> None:
        """Point the alias `champion` at the model version that carries this registry version."""
        client = self._client()
        for stored in client.search_model_versions(f"name = '{version.task}'"):
            if stored.tags.get("epic22.version") == version.version:
                client.set_registered_model_alias(version.task, "champion", stored.version)

    def _client(self) -> "MlflowClient":
        if self._opened is None:
            os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
            from mlflow.tracking import MlflowClient

            # MLflow sets its own level on import.
            logging.getLogger("mlflow").setLevel(logging.WARNING)

            self.database.parent.mkdir(parents=True, exist_ok=True)
            with sqlite3.connect(self.database) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
            self._opened = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        return self._opened

    def _experiment(self, client: "MlflowClient", task: str) -> str:
        found = client.get_experiment_by_name(task)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(task, artifact_location=(self.artifacts / task).absolute().as_uri()))

    def _write(self, client: "MlflowClient", run_id: str, evaluation: Tracked, parameters: dict[str, str]) -> None:
        from mlflow.entities import Param

        client.log_batch(
            run_id,
            metrics=_metrics(evaluation),
            params=[Param(name, value[:6000]) for name, value in parameters.items()],
        )

    def _write_files(self, client: "MlflowClient", run_id: str, run: RunRecord) -> None:
        client.log_artifacts(run_id, str(run.bundle), "bundle")
        client.log_artifact(run_id, str(run.report))
        with tempfile.TemporaryDirectory(prefix="epic22-") as aside:
            for name, content in run.pictures.items():
                (Path(aside) / f"{name}.png").write_bytes(content)
            client.log_artifacts(run_id, aside, "pictures")

    def _register(self, client: "MlflowClient", version: ModelVersion, run_id: str) -> None:
        if not client.search_registered_models(f"name = '{version.task}'"):
            client.create_registered_model(version.task)
        source = f"{client.get_run(run_id).info.artifact_uri}/bundle"
        tags = {"epic22.version": version.version, "epic22.model_hash": version.model_hash}
        client.create_model_version(version.task, source, run_id, tags=tags)


def _metrics(evaluation: Tracked) -> list["MlflowMetric"]:
    """Each score with its interval, and its steps; undefined ones are left out."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    stated: list[tuple[str, float, int]] = [
        ("fit_seconds", evaluation.fit_seconds, 0),
        ("row_ms", evaluation.row_ms, 0),
    ]
    for name, (value, low, high) in evaluation.scores.items():
        stated += [(name, value, 0), (f"{name}_low", low, 0), (f"{name}_high", high, 0)]
    for name, values in evaluation.steps.items():
        stated += [(name, value, step) for step, value in enumerate(values)]
    made: list[Any] = [Metric(name, value, now, step) for name, value, step in stated if math.isfinite(value)]
    return made
