"""Answers of the champions: of a file's rows, of a panel's series, of a feature's entities at a moment."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from polars import DataFrame

from epic22.bootstrap.components import Components
from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.panel_bundle import PanelBundle
from epic22.core.data.task_data import PanelTaskData, TaskData
from epic22.core.errors import UserError
from epic22.core.lineage import DataVersion, ModelVersion, Node, file_sha256
from epic22.core.prediction import Prediction
from epic22.features.catalog import get_feature
from epic22.services.decide import DecisionList, decide_rows, decide_series
from epic22.services.lineage_events import emit_lineage, model_dataset, prediction_dataset, source_datasets, table_datasets
from epic22.services.predict import predict_frame
from epic22.services.predict_panel import SeriesRequest, forecast_all, forecast_series
from epic22.services.progress import Progress
from epic22.spec.flat_file import read_rows
from epic22.spec.panel_file import PanelFile, load_panel_task_data

DEFAULT_CAPACITY = 10


def predict_file(
    components: Components,
    task: str,
    path: Path | None,
    version: str | None = None,
    progress: Progress = Progress(),
    with_reasons: bool = True,
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    """Predict every row of a file with a task's champion, or with a version of it.

    For a forecast the file is a panel as it was trained on; without one, every series is forecast from its last known value.

    Raises UserError where rows are to be predicted and no file is named.
    """
    with emit_lineage(components.lineage, f"predict.{task}", ()) as work:
        model, predictions = _predict(components, task, path, version, progress, with_reasons)
        row_from = None if path is None else Node("source", file_sha256(path), str(path))
        work.inputs += () if row_from is None else source_datasets([(row_from.label, row_from.id)])
        work.inputs.append(model_dataset(model))
        work.outputs.append(prediction_dataset(task, predictions))
        components.prediction_log.log_predictions(model, predictions, row_from)
    return model, predictions


def _predict(
    components: Components, task: str, path: Path | None, version: str | None, progress: Progress, with_reasons: bool
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    progress.begin(f"predicting {'all series' if path is None else path.name}", 1)
    model, bundle = components.registry.load(task, version)
    if isinstance(bundle, PanelBundle):
        return model, forecast_all(model, bundle) if path is None else _forecast_file(model, bundle, path)
    if path is None:
        raise UserError(f"task {task} predicts rows: name the file they are in.")
    return model, predict_frame(model, bundle, read_rows(path, bundle.schema.columns), with_reasons)


def _forecast_file(model: ModelVersion, bundle: PanelBundle, path: Path) -> tuple[Prediction, ...]:
    schema = bundle.schema
    layout: Literal["wide", "long"] = "wide" if schema.layout == "wide" else "long"
    file = PanelFile(
        path, layout, schema.id, schema.time, schema.target, schema.periods, schema.horizon, schema.task, schema.season
    )
    latest = load_panel_task_data(file).latest_histories()
    requests = [
        SeriesRequest(str(name), tuple(float(v) for v in values), int(origin))
        for name, values, origin in zip(latest.entity, latest.iterate_series(), latest.origin, strict=True)
    ]
    return forecast_series(model, bundle, requests)


def decide_feature(
    components: Components,
    name: str,
    at: datetime | None,
    capacity: int | None,
    version_number: int | None = None,
    progress: Progress = Progress(),
) -> DecisionList:
    """The ranked list of a feature's champion at a moment (the end of the data where None) for a capacity (the task's own).

    Raises UnknownTaskError for a name that is no feature's or has no champion, ColumnError where nobody is eligible.
    """
    get_feature(name)
    stored = components.table_store.resolve_version(version_number)
    with emit_lineage(components.lineage, f"decide.{name}", table_datasets(stored)) as work:
        decisions = _decide(components, name, at, capacity, version_number, progress)
        predictions = [case.prediction for case in decisions.listed]
        work.inputs.append(model_dataset(decisions.model))
        work.outputs.append(prediction_dataset(name, predictions))
        components.prediction_log.log_predictions(
            decisions.model, predictions, Node("data version", str(stored.number), f"data version {stored.number}")
        )
    return decisions


def _decide(
    components: Components, name: str, at: datetime | None, capacity: int | None, version_number: int | None, progress: Progress
) -> DecisionList:
    feature = get_feature(name)
    progress.begin(f"{name}: reading the tables", 1)
    version = components.table_store.resolve_version(version_number)
    task_data = feature.bind(feature.task, components.table_store.tables(version.number), DataVersion(version.id, ()))
    model, bundle = components.registry.load(name)
    moment = version.end if at is None else at
    if moment > version.end:
        raise UserError(f"--at {moment:%Y-%m-%d} lies after the end of the data ({version.end:%Y-%m-%d}); ingest newer tables.")
    limit = capacity or feature.task.capacity or DEFAULT_CAPACITY
    progress.step()
    trained_on = next((v for v in components.table_store.log() if v.id == bundle.data_version), None)
    in_sample = trained_on is not None and moment < trained_on.end
    if isinstance(bundle, PanelBundle) and isinstance(task_data, PanelTaskData):
        return decide_series(model, bundle, task_data, moment, limit, in_sample)
    if isinstance(bundle, Bundle) and isinstance(task_data, TaskData):
        return decide_rows(model, bundle, task_data, moment, limit, in_sample)
    raise UserError(f"task {name}: the champion is of another kind than the feature; train it again with 'epic22 train {name}'.")


def read_feature_rows(
    components: Components, name: str, at: datetime, entities: Sequence[str], version_number: int | None = None
) -> DataFrame:
    """The inputs of these entities at a moment, as a client of the API would send them: one row each, in their order."""
    feature, version = get_feature(name), components.table_store.resolve_version(version_number)
    tables = components.table_store.tables(version.number)
    keys = DataFrame({"entity": list(entities), "cutoff": [at] * len(entities)})
    return feature.task.inputs(tables.as_of(keys)).collect()
