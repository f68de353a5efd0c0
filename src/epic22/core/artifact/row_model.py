"""A model of rows: each is answered by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epic22.core.artifact.bundle import KIND, Bundle, Schema, model_files, open_bundle
from epic22.core.artifact.model import ModelDescription, RequestSource
from epic22.core.artifact.prediction_request import FrameRequest, PredictionRequest
from epic22.core.artifact.request_model import RequestModel, build_example_row, build_request_model
from epic22.core.artifact.row_predictions import predict_request
from epic22.core.data.preprocess import MAX_LEVELS
from epic22.core.errors import UserError
from epic22.core.lineage import ModelVersion
from epic22.core.models.base import Capabilities
from epic22.core.models.catalog import get_family
from epic22.core.prediction import Prediction
from epic22.core.task import CellValue


@dataclass(frozen=True)
class RowModel:
    """The protocol `Model` on a bundle of rows."""

    version: ModelVersion
    bundle: Bundle
    kind = KIND

    @classmethod
    def open(cls, version: ModelVersion, folder: Path) -> "RowModel":
        """The model in a folder, audited. Raises BundleError."""
        return cls(version, open_bundle(folder))

    @property
    def schema(self) -> Schema:
        """What it was trained to predict."""
        return self.bundle.schema

    @property
    def capabilities(self) -> Capabilities:
        """Those of its family."""
        return get_family(self.bundle.family).capabilities

    @property
    def model_hash(self) -> str:
        """The hash of all that shapes its answers."""
        return self.bundle.model_hash

    @property
    def data_version(self) -> str:
        """The id of the data it learned from."""
        return self.bundle.data_version

    @property
    def costs(self) -> Mapping[str, float]:
        """What a miss and a false alarm cost; empty where nothing is decided by it."""
        return self.bundle.costs

    def describe(self) -> ModelDescription:
        """What is told of its answers."""
        schema, coverage = self.schema, self.bundle.coverage
        if not schema.traits.is_regression:
            return ModelDescription(schema.kind, schema.classes, coverage)
        return ModelDescription(schema.kind, schema.classes, coverage, schema.loss, schema.log)

    def request_model(self) -> RequestModel:
        """Rows with a field a column."""
        return build_request_model(self.schema)

    def example_row(self) -> Mapping[str, CellValue]:
        """A row that its request model takes."""
        return build_example_row(self.schema.inputs)

    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """The rows of a table. Raises UserError without one."""
        if source is None:
            raise UserError(f"task {self.schema.task} predicts rows: name the file they are in.")
        return FrameRequest(source.read_rows(self.schema.columns))

    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a row."""
        return predict_request(self.version, self.bundle, request, with_reasons)

    def list_warnings(self, row: Mapping[str, Any]) -> list[str]:
        """The row's categories that training never saw, in words."""
        return [
            f"{name}: {str(row[name])[:100]!r} was never {_describe_rarity(levels)} in training; treated as missing."
            for name, levels in self.bundle.preprocessor.levels.items()
            if row.get(name) is not None and row[name] not in levels
        ]

    def files(self) -> Mapping[str, bytes]:
        """The trained model and its preprocessing."""
        return model_files(self.bundle)


def _describe_rarity(levels: Mapping[str, int]) -> str:
    return "seen" if len(levels) < MAX_LEVELS else "or too seldom seen"
