"""Runs in MLflow's tables, many at once: its own calls write one in three transactions, which takes a search of 500 trials a
quarter of a minute.

The rows are those that its calls write, by its own models of the tables, of the one version that is pinned and whose tables are
checked for their form before they are opened. All runs of a training become visible in one transaction.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epic22.adapters.tracking.stored_run import NAME, DatasetRecord, MetricPoint, StoredRun

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Row = dict[str, Any]

NO_SYNC: Mapping[str, Any] = {"synchronize_session": False}
"""Nothing that is removed was loaded in the session."""


@dataclass(frozen=True)
class RunFolder:
    """Where runs are added: MLflow's id of it, and the address below which the files of its runs are."""

    id: str
    location: str


def insert_runs(client: "MlflowClient", experiment: RunFolder, runs: Sequence[StoredRun]) -> None:
    """Add runs that have ended, all or none."""
    from mlflow.store.tracking.dbmodels import models
    from sqlalchemy import insert

    tables: Mapping[Any, list[Row]] = {
        models.SqlRun: [_build_run_row(experiment, run) for run in runs],
        models.SqlTag: [row for run in runs for row in _build_texts(run, {NAME: run.name, **run.tags})],
        models.SqlParam: [row for run in runs for row in _build_texts(run, run.parameters)],
        models.SqlMetric: [row for run in runs for row in _build_metric_rows(run, _drop_repeated(run.metrics))],
        models.SqlLatestMetric: [row for run in runs for row in _build_metric_rows(run, _select_latest(run.metrics))],
    }
    with open_session(client, read_only=False) as session:
        for table, rows in tables.items():
            if rows:
                session.execute(insert(table), rows)
        for run in runs:
            for dataset in run.datasets:
                _insert_dataset(session, experiment.id, run.id, dataset)


def remove_runs(client: "MlflowClient", runs: Sequence[str]) -> None:
    """Remove runs for good, those that are below others first, so that what a kill leaves is found again from above."""
    from mlflow.store.tracking.dbmodels.models import SqlInput, SqlInputTag
    from sqlalchemy import delete, select

    store: Any = client._tracking_client.store
    for run in reversed(runs):
        # Which dataset it learned from, MLflow leaves.
        edges: Any = select(SqlInput.input_uuid).where(SqlInput.destination_id == run)
        with open_session(client, read_only=False) as session:
            session.execute(delete(SqlInputTag).where(SqlInputTag.input_uuid.in_(edges)).execution_options(**NO_SYNC))
            session.execute(delete(SqlInput).where(SqlInput.destination_id == run).execution_options(**NO_SYNC))
        store._hard_delete_run(run)


def open_session(client: "MlflowClient", read_only: bool = True) -> Any:
    """A transaction of the client's own store, to be entered."""
    store: Any = client._tracking_client.store
    return store.ManagedSessionMaker(read_only=read_only)


def _build_run_row(experiment: RunFolder, run: StoredRun) -> Row:
    return {
        "run_uuid": run.id,
        "name": run.name,
        "source_type": "UNKNOWN",
        "source_name": "",
        "entry_point_name": "",
        "user_id": "",
        "status": run.status,
        "start_time": run.start,
        "end_time": run.end,
        "source_version": "",
        "lifecycle_stage": "active",
        "artifact_uri": f"{experiment.location.rstrip('/')}/{run.id}/artifacts",
        "experiment_id": int(experiment.id),
    }


def _build_texts(run: StoredRun, texts: Mapping[str, str]) -> Iterator[Row]:
    return ({"run_uuid": run.id, "key": name, "value": text} for name, text in texts.items())


def _build_metric_rows(run: StoredRun, points: Sequence[MetricPoint]) -> Iterator[Row]:
    for point in points:
        moment = {"timestamp": point.at, "step": point.step, "is_nan": False}
        yield {"run_uuid": run.id, "key": point.name, "value": point.value, **moment}


def _drop_repeated(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Each point once: the table takes no two that are equal."""
    return list(dict.fromkeys(points))


def _select_latest(points: Sequence[MetricPoint]) -> list[MetricPoint]:
    """Of each metric the point of the last step, as MLflow chooses it."""
    latest: dict[str, MetricPoint] = {}
    for point in points:
        before = latest.get(point.name)
        if before is None or (point.step, point.at, point.value) > (before.step, before.at, before.value):
            latest[point.name] = point
    return list(latest.values())


def _insert_dataset(session: Any, experiment: str, run: str, dataset: DatasetRecord) -> None:
    """Say that a run learned from a dataset, which is kept once for each digest."""
    from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput, SqlInputTag
    from sqlalchemy import insert, select

    key = (SqlDataset.experiment_id == int(experiment), SqlDataset.name == dataset.name, SqlDataset.digest == dataset.digest)
    stored = session.execute(select(SqlDataset.dataset_uuid).where(*key)).scalar()
    identifier, edge = stored or uuid.uuid4().hex, uuid.uuid4().hex
    if stored is None:
        row = {
            "dataset_uuid": identifier,
            "experiment_id": int(experiment),
            "name": dataset.name,
            "digest": dataset.digest,
            "dataset_source_type": dataset.source_type,
            "dataset_source": dataset.source,
            "dataset_profile": dataset.profile,
        }
        session.execute(insert(SqlDataset), [row])
    ends = {"source_type": "DATASET", "source_id": identifier, "destination_type": "RUN", "destination_id": run}
    session.execute(insert(SqlInput), [{"input_uuid": edge, **ends, "step": 0}])
    tag = {"input_uuid": edge, "name": "mlflow.data.context", "value": dataset.context}
    session.execute(insert(SqlInputTag), [tag])
