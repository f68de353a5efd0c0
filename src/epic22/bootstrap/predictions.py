"""Answers of the champions: of a file's rows, of a panel's series, of a feature's entities at a moment."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from polars import DataFrame

from epic22.bootstrap.components import Components
from epic22.core.artifact.panel_bundle import PanelSchema
from epic22.core.data.period_times import PanelReading
from epic22.core.data.sequence_columns import add_sequence
from epic22.core.errors import UserError
from epic22.core.lineage import DataVersion, ModelVersion, Node, file_sha256
from epic22.core.prediction import Prediction
from epic22.core.progress import Progress
from epic22.core.task import Column
from epic22.core.time_series import Histories
from epic22.features.catalog import get_feature
from epic22.services.decide import DecisionList, decide
from epic22.services.lineage_events import (
    build_model_dataset,
    build_prediction_dataset,
    emit_lineage,
    list_source_datasets,
    list_table_datasets,
)
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
        work.inputs += () if row_from is None else list_source_datasets([(row_from.label, row_from.id)])
        work.inputs.append(build_model_dataset(model))
        work.outputs.append(build_prediction_dataset(task, predictions))
        components.prediction_log.log_predictions(model, predictions, row_from)
    return model, predictions


def _predict(
    components: Components, task: str, path: Path | None, version: str | None, progress: Progress, with_reasons: bool
) -> tuple[ModelVersion, tuple[Prediction, ...]]:
    progress.begin(f"predicting {'all series' if path is None else path.name}", 1)
    model = components.registry.load(task, version)
    request = model.read_request(None if path is None else RequestFile(path, progress.note))
    return model.version, model.predict(request, with_reasons)


@dataclass(frozen=True)
class RequestFile:
    """A file to be answered, whatever its model reads.

    `tell` is told of series that get no answer and of lines that are no rows: a warning unless stated.
    """

    path: Path
    tell: Callable[[str], None] = lambda text: warnings.warn(text, stacklevel=2)

    def read_rows(self, columns: tuple[Column, ...]) -> DataFrame:
        """Its rows, in the types of these columns."""
        return read_rows(self.path, columns, self.tell)

    def read_histories(self, schema: PanelSchema) -> Histories:
        """Its series as known at its end."""
        layout: Literal["wide", "long"] = "wide" if schema.layout == "wide" else "long"
        file = PanelFile(
            self.path,
            layout,
            schema.id,
            schema.time,
            schema.target,
            schema.periods,
            schema.horizon,
            schema.task,
            schema.season,
            reading=schema.reading or PanelReading(),
        )
        data = load_panel_task_data(file)
        for text in data.left_out:
            self.tell(text)
        return data.latest_histories()


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
    with emit_lineage(components.lineage, f"decide.{name}", list_table_datasets(stored)) as work:
        decisions = _decide(components, name, at, capacity, version_number, progress)
        predictions = [case.prediction for case in decisions.listed]
        work.inputs.append(build_model_dataset(decisions.model))
        work.outputs.append(build_prediction_dataset(name, predictions))
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
    model = components.registry.load(name)
    task = add_sequence(feature.task, model.input_names)
    task_data = feature.bind(task, components.table_store.tables(version.number), DataVersion(version.id, ()))
    moment = version.end if at is None else at
    if moment > version.end:
        raise UserError(f"--at {moment:%Y-%m-%d} lies after the end of the data ({version.end:%Y-%m-%d}); ingest newer tables.")
    limit = capacity or feature.task.policy.capacity or DEFAULT_CAPACITY
    progress.step()
    trained_on = next((v for v in components.table_store.log() if model.bundle.data_version in v.ids), None)
    return decide(model, task_data, moment, limit, in_sample=trained_on is not None and moment < trained_on.end)


def read_feature_rows(
    components: Components, name: str, at: datetime, entities: Sequence[str], version_number: int | None = None
) -> DataFrame:
    """The inputs of these entities at a moment, as a client of the API would send them: one row each, in their order."""
    version, model = components.table_store.resolve_version(version_number), components.registry.load(name)
    tables, task = components.table_store.tables(version.number), add_sequence(get_feature(name).task, model.input_names)
    keys = DataFrame({"entity": list(entities), "cutoff": [at] * len(entities)})
    return task.inputs(tables.as_of(keys)).collect()
