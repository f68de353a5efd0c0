"""Answers of the champions: of a file's rows, of a panel's series, of a feature's entities at a moment."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from polars import DataFrame

from epic22.bootstrap.components import Components
from epic22.core.artifact.model import Model
from epic22.core.artifact.panel_bundle import PanelSchema
from epic22.core.data.period_times import PanelReading
from epic22.core.data.sequence_columns import add_sequence
from epic22.core.errors import UserError
from epic22.core.lineage import DataVersion, ModelVersion, Node, file_sha256
from epic22.core.prediction import Prediction
from epic22.core.progress import Progress
from epic22.core.tables.canonical import count_refused_rents, describe_refused_rents
from epic22.core.tables.versions import LakeVersion
from epic22.core.task import Column
from epic22.core.time_series import Histories
from epic22.features.catalog import FeatureData, get_feature
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
from epic22.spec.row_batches import count_parquet_rows, read_row_batches

DEFAULT_CAPACITY = 10


@dataclass(frozen=True)
class FilePredictions:
    """The answers to a file's rows or a panel's series, the version that gave them, and what their values are, in words;
    `is_probability`: the values are probabilities."""

    model: ModelVersion
    predictions: tuple[Prediction, ...]
    value_name: str
    is_probability: bool


def predict_file(
    components: Components,
    task: str,
    path: Path | None,
    version: str | None = None,
    progress: Progress = Progress(),
    with_reasons: bool = True,
) -> FilePredictions:
    """Predict every row of a file with a task's champion, or with a version of it.

    For a forecast the file is a panel as it was trained on; without one, every series is forecast from its last known value.

    Raises UserError where rows are to be predicted and no file is named.
    """
    with emit_lineage(components.lineage, f"predict.{task}", ()) as work:
        if path is not None:
            progress.begin("predicting …", 1, about=path.name)
        model = components.registry.load(task, version)
        request = model.read_request(None if path is None else RequestFile(path, progress.note))
        if path is None:
            # Only a forecast comes so far without a file.
            progress.begin(ALL_SERIES, 1)
        predictions = model.predict(request, with_reasons)
        row_from = None if path is None else Node("source", file_sha256(path), str(path))
        work.inputs += () if row_from is None else list_source_datasets([(row_from.label, row_from.id)])
        work.inputs.append(build_model_dataset(model.version))
        work.outputs.append(build_prediction_dataset(task, predictions))
        components.prediction_log.log_predictions(model.version, predictions, row_from)
    return FilePredictions(model.version, predictions, model.describe_value(), model.answers_probability)


ALL_SERIES = "predicting all series"


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

    def read_row_batches(self, columns: tuple[Column, ...], n_at_once: int) -> Iterator[DataFrame]:
        """Its rows, in the types of these columns, so many at a time; of Parquet no more are in memory."""
        return read_row_batches(self.path, columns, n_at_once, self.tell)

    def count_rows(self) -> int | None:
        """How many rows it has, where that is known before they are read."""
        return count_parquet_rows(self.path)

    def read_histories(self, schema: PanelSchema, is_whole: bool = False) -> Histories:
        """Its series as known at its end; `is_whole`: the values of training were whole numbers."""
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
            is_whole=is_whole,
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
        decisions = _decide(components, FeatureMoment(name, at, stored.number), capacity, progress)
        predictions = [case.prediction for case in decisions.listed]
        work.inputs.append(build_model_dataset(decisions.model))
        work.outputs.append(build_prediction_dataset(name, predictions))
        components.prediction_log.log_predictions(
            decisions.model, predictions, Node("data version", str(stored.number), f"data version {stored.number}")
        )
    return decisions


def _decide(components: Components, query: "FeatureMoment", capacity: int | None, progress: Progress) -> DecisionList:
    progress.begin(f"{query.name}: reading the tables", 1)
    bound = bind_feature(components, query, progress)
    progress.step()
    return decide(bound.model, bound.data, bound.at, capacity or bound.capacity, bound.in_sample)


@dataclass(frozen=True)
class FeatureMoment:
    """A feature of the catalog at a moment, the end of the data where None, in a data version, the newest where None, by a
    version of its model, the champion where None."""

    name: str
    at: datetime | None = None
    data_number: int | None = None
    model_version: str | None = None


@dataclass(frozen=True)
class BoundFeature:
    """A feature's model, the tables that it is asked on and the moment. `capacity` is the task's own; `in_sample`: the model
    learned from data after the moment."""

    model: Model
    data: FeatureData
    stored: LakeVersion
    at: datetime
    capacity: int
    in_sample: bool


def bind_feature(components: Components, query: FeatureMoment, progress: Progress = Progress()) -> BoundFeature:
    """What answers a feature at a moment; which figures of competitors it may not see is noted.

    Raises UnknownTaskError for a name that is no feature's or has no champion, UserError for a moment after the end of the data.
    """
    name, at = query.name, query.at
    feature = get_feature(name)
    version = components.table_store.resolve_version(query.data_number)
    model = components.registry.load(name, query.model_version)
    task = add_sequence(feature.task, model.input_names)
    task_data = feature.bind(task, components.table_store.tables(version.number), DataVersion(version.id, ()))
    moment = version.end if at is None else at
    if moment > version.end:
        raise UserError(f"--at {moment:%Y-%m-%d} lies after the end of the data ({version.end:%Y-%m-%d}); ingest newer tables.")
    market = components.table_store.scan("market", version.number).select("provenance", "month").collect()
    if count_refused_rents(market, moment):
        for note in describe_refused_rents({"market": market}, moment):
            progress.note(note)
    trained_on = next((v for v in components.table_store.log() if model.bundle.data_version in v.ids), None)
    in_sample = trained_on is not None and moment < trained_on.end
    return BoundFeature(model, task_data, version, moment, feature.task.policy.capacity or DEFAULT_CAPACITY, in_sample)


def read_feature_rows(
    components: Components, name: str, at: datetime, entities: Sequence[str], version_number: int | None = None
) -> DataFrame:
    """The inputs of these entities at a moment, as a client of the API would send them: one row each, in their order."""
    version, model = components.table_store.resolve_version(version_number), components.registry.load(name)
    tables, task = components.table_store.tables(version.number), add_sequence(get_feature(name).task, model.input_names)
    keys = DataFrame({"entity": list(entities), "cutoff": [at] * len(entities)})
    return task.compute_inputs(tables.as_of(keys))
