"""Runs read back from MLflow's tables: trainings by what people call them, each with all that is below it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epic22.adapters.tracking.run_tables import open_session
from epic22.adapters.tracking.run_tree import HASH, VERSION
from epic22.adapters.tracking.stored_run import NAME, PARENT, DatasetRecord, MetricPoint, StoredRun
from epic22.core.errors import UnknownTaskError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MANY = 500
"""So many ids are asked for at once."""

MIN_PREFIX = 4


@dataclass(frozen=True)
class Training:
    """A training that is written down: its run's id, which version of which task it made, and when (milliseconds since 1970)."""

    id: str
    task: str
    version: str
    model_hash: str
    state: str
    start: int
    end: int


def has_run(client: "MlflowClient", run: str) -> bool:
    """Whether a run of that id is there, be it one that was deleted."""
    from mlflow.store.tracking.dbmodels.models import SqlRun
    from sqlalchemy import select

    with open_session(client) as session:
        return session.execute(select(SqlRun.run_uuid).where(SqlRun.run_uuid == run)).first() is not None


def list_trainings(client: "MlflowClient", task: str | None = None) -> tuple[Training, ...]:
    """The trainings, oldest first; those of one task where it is named."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
    from sqlalchemy import select

    run, experiment, tag = SqlRun, SqlExperiment, SqlTag
    with open_session(client) as session:
        query: Any = (
            select(run.run_uuid, experiment.name, run.start_time, run.end_time)
            .join(experiment, experiment.experiment_id == run.experiment_id)
            .join(tag, (tag.run_uuid == run.run_uuid) & (tag.key == VERSION))
            .where(run.lifecycle_stage == "active")
            .order_by(run.start_time, run.run_uuid)
        )
        rows = session.execute(query if task is None else query.where(experiment.name == task)).all()
        tags = _read_texts(session, SqlTag, [row[0] for row in rows])
    return tuple(
        Training(id, name, tags[id][VERSION], tags[id].get(HASH, ""), tags[id].get("epic22.status", ""), start or 0, end or 0)
        for id, name, start, end in rows
    )


def find_training(trainings: Sequence[Training], reference: str) -> Training:
    """The training that is meant: by its run's id, or the beginning of it, or as TASK/VERSION.

    Raises UnknownTaskError where there is none, or several.
    """
    matching = [one for one in trainings if reference == f"{one.task}/{one.version}"]
    if not matching and len(reference) >= MIN_PREFIX:
        matching = [one for one in trainings if one.id.startswith(reference)]
    if len(matching) == 1:
        return matching[0]
    count = f"{len(matching)} runs" if matching else "no run"
    raise UnknownTaskError(
        f"{reference[:60]!r} means {count}; name one by TASK/VERSION or by its id, of which 'epic22 runs list' shows them all."
    )


def read_runs(client: "MlflowClient", training: str) -> tuple[StoredRun, ...]:
    """A training's own run and all that are below it, each behind the one that it is below."""
    from mlflow.store.tracking.dbmodels.models import SqlRun

    ids = list_runs_below(client, training)
    with open_session(client) as session:
        rows = {row.run_uuid: row for row in _select(session, SqlRun, SqlRun.run_uuid, ids)}
        details = _Details.read(session, ids)
        return tuple(_build_run(rows[id], details) for id in ids if id in rows)


def list_runs_below(client: "MlflowClient", training: str) -> list[str]:
    """The ids of a training's own run, which is the first, and of all that are below it."""
    with open_session(client) as session:
        ids, level = {training: None}, [training]
        while level:
            level = [child for child in _list_children(session, level) if child not in ids]
            ids |= dict.fromkeys(level)
    return list(ids)


def _list_children(session: Any, parents: Sequence[str]) -> list[str]:
    """The runs directly below these, as they were started."""
    from mlflow.store.tracking.dbmodels.models import SqlRun, SqlTag
    from sqlalchemy import select

    children: list[tuple[int, str]] = []
    for some in _split(parents):
        below: Any = (SqlTag.key == PARENT) & SqlTag.value.in_(some) & (SqlRun.lifecycle_stage == "active")
        query = select(SqlRun.start_time, SqlRun.run_uuid).join(SqlTag, SqlTag.run_uuid == SqlRun.run_uuid).where(below)
        children += [(start or 0, id) for start, id in session.execute(query)]
    return [id for _, id in sorted(children)]


@dataclass(frozen=True)
class _Details:
    """What several runs have, by their ids."""

    tags: Mapping[str, Mapping[str, str]]
    parameters: Mapping[str, Mapping[str, str]]
    metrics: Mapping[str, Sequence[MetricPoint]]
    datasets: Mapping[str, Sequence[DatasetRecord]]

    @classmethod
    def read(cls, session: Any, ids: Sequence[str]) -> "_Details":
        from mlflow.store.tracking.dbmodels.models import SqlMetric, SqlParam, SqlTag

        metrics: dict[str, list[MetricPoint]] = defaultdict(list)
        for row in _select(session, SqlMetric, SqlMetric.run_uuid, ids):
            if not row.is_nan:
                metrics[row.run_uuid].append(MetricPoint(row.key, row.value, row.step, row.timestamp))
        tags, parameters = (_read_texts(session, table, ids) for table in (SqlTag, SqlParam))
        return cls(tags, parameters, metrics, _read_datasets(session, ids))


def _split(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ids in parts that a query may name."""
    return (ids[start : start + MANY] for start in range(0, len(ids), MANY))


def _select(session: Any, table: Any, column: Any, ids: Sequence[str]) -> Iterator[Any]:
    from sqlalchemy import select

    for some in _split(ids):
        yield from session.execute(select(table.__table__).where(column.in_(some)))


def _read_texts(session: Any, table: Any, ids: Sequence[str]) -> Mapping[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    for row in _select(session, table, table.run_uuid, ids):
        texts[row.run_uuid][row.key] = row.value
    return texts


def _read_datasets(session: Any, ids: Sequence[str]) -> Mapping[str, Sequence[DatasetRecord]]:
    from mlflow.store.tracking.dbmodels.models import SqlDataset, SqlInput
    from sqlalchemy import select

    datasets: dict[str, list[DatasetRecord]] = defaultdict(list)
    for some in _split(ids):
        edge: Any = (SqlInput.source_type == "DATASET") & SqlInput.destination_id.in_(some)
        query = select(SqlInput.destination_id, SqlDataset).join(SqlDataset, SqlDataset.dataset_uuid == SqlInput.source_id)
        for run, one in session.execute(query.where(edge)):
            facts = (one.name, one.digest, one.dataset_source_type, one.dataset_source, one.dataset_profile or "")
            datasets[run].append(DatasetRecord(*facts))
    return datasets


def _build_run(row: Any, details: _Details) -> StoredRun:
    tags = {name: value for name, value in details.tags.get(row.run_uuid, {}).items() if name != NAME}
    return StoredRun(
        row.run_uuid,
        row.name or row.run_uuid,
        row.status,
        row.start_time or 0,
        row.end_time or row.start_time or 0,
        details.parameters.get(row.run_uuid, {}),
        tuple(sorted(details.metrics.get(row.run_uuid, ()), key=lambda point: (point.name, point.step, point.at))),
        tags,
        tuple(details.datasets.get(row.run_uuid, ())),
    )
