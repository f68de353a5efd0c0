"""Answers of the champions: of a file's rows, of a panel's series, of a feature's entities at a moment."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from polars import DataFrame

from epic22.bootstrap.parts import Parts
from epic22.core.bundle import Bundle
from epic22.core.data.assignment import Assignment, PanelAssignment
from epic22.core.errors import UserError
from epic22.core.lineage import DataVersion, ModelVersion, Node, file_sha256
from epic22.core.panel_bundle import PanelBundle
from epic22.core.prediction import Prediction
from epic22.features.catalog import feature_named
from epic22.features.flat_file import read_rows
from epic22.features.panel_file import PanelFile, declare_panel
from epic22.services.decide import DecisionList, decide_rows, decide_series
from epic22.services.events import model_dataset, prediction_dataset, source_datasets, table_datasets, told
from epic22.services.predict import predict_frame
from epic22.services.predict_panel import SeriesRequest, forecast_all, forecast_series
from epic22.services.watch import Watch

DEFAULT_CAPACITY = 10


def predict_file(
    parts: Parts,
    task: str,
    path: Path | None,
    version: str | None = None,
    watch: Watch = Watch(),
    with_reasons: bool = True,
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    """Predict every row of a file with a task's champion, or with a version of it.

    For a forecast the file is a panel as it was trained on; without one, every series is forecast from its last known value.

    Raises UserError where rows are to be predicted and no file is named.
    """
    with told(parts.lineage, f"predict.{task}", ()) as work:
        model, predictions = _predict(parts, task, path, version, watch, with_reasons)
        row_from = None if path is None else Node("source", file_sha256(path), str(path))
        work.inputs += () if row_from is None else source_datasets([(row_from.words, row_from.id)])
        work.inputs.append(model_dataset(model))
        work.outputs.append(prediction_dataset(task, predictions))
        parts.receipts.note(model, predictions, row_from)
    return model, predictions


def _predict(
    parts: Parts, task: str, path: Path | None, version: str | None, watch: Watch, with_reasons: bool
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    watch.begin(f"predicting {'all series' if path is None else path.name}", 1)
    model, bundle = parts.registry.load(task, version)
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
    latest = declare_panel(file).now()
    requests = [
        SeriesRequest(str(name), tuple(float(v) for v in values), int(origin))
        for name, values, origin in zip(latest.entity, latest.each(), latest.origin, strict=True)
    ]
    return forecast_series(model, bundle, requests)


def decide_feature(
    parts: Parts, name: str, at: datetime | None, capacity: int | None, data: int | None = None, watch: Watch = Watch()
) -> DecisionList:
    """The ranked list of a feature's champion at a moment (the end of the data where None) for a capacity (the task's own).

    Raises UnknownTaskError for a name that is no feature's or has no champion, ColumnError where nobody is eligible.
    """
    feature_named(name)
    stored = parts.versions.chosen(data)
    with told(parts.lineage, f"decide.{name}", table_datasets(stored)) as work:
        found = _decide(parts, name, at, capacity, data, watch)
        predictions = [case.prediction for case in found.listed]
        work.inputs.append(model_dataset(found.model))
        work.outputs.append(prediction_dataset(name, predictions))
        parts.receipts.note(found.model, predictions, Node("data version", str(stored.number), f"data version {stored.number}"))
    return found


def _decide(parts: Parts, name: str, at: datetime | None, capacity: int | None, data: int | None, watch: Watch) -> DecisionList:
    feature = feature_named(name)
    watch.begin(f"{name}: reading the tables", 1)
    version = parts.versions.chosen(data)
    assigned = feature.assign(feature.task, parts.versions.tables(version.number), DataVersion(version.id, ()))
    model, bundle = parts.registry.load(name)
    moment = version.end if at is None else at
    if moment > version.end:
        raise UserError(f"--at {moment:%Y-%m-%d} lies after the end of the data ({version.end:%Y-%m-%d}); ingest newer tables.")
    room = capacity or feature.task.capacity or DEFAULT_CAPACITY
    watch.step()
    trained_on = next((v for v in parts.versions.log() if v.id == bundle.data_version), None)
    in_sample = trained_on is not None and moment < trained_on.end
    if isinstance(bundle, PanelBundle) and isinstance(assigned, PanelAssignment):
        return decide_series(model, bundle, assigned, moment, room, in_sample)
    if isinstance(bundle, Bundle) and isinstance(assigned, Assignment):
        return decide_rows(model, bundle, assigned, moment, room, in_sample)
    raise UserError(f"task {name}: the champion is of another kind than the feature; train it again with 'epic22 train {name}'.")


def rows_of_feature(parts: Parts, name: str, at: datetime, entities: Sequence[str], data: int | None = None) -> DataFrame:
    """The inputs of these entities at a moment, as a client of the API would send them: one row each, in their order."""
    feature, version = feature_named(name), parts.versions.chosen(data)
    tables = parts.versions.tables(version.number)
    asked = DataFrame({"entity": list(entities), "cutoff": [at] * len(entities)})
    return feature.task.inputs(tables.as_of(asked)).collect()
