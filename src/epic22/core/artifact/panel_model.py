"""A model of series: each is answered from its latest values, at every horizon."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from epic22.core.artifact.model import ModelDescription, RequestSource
from epic22.core.artifact.panel_bundle import KIND, PanelBundle, PanelSchema, model_files, open_panel_bundle
from epic22.core.artifact.panel_predictions import SeriesRequest, forecast_series
from epic22.core.artifact.prediction_request import PredictionRequest, RowsRequest
from epic22.core.artifact.request_model import RequestModel, build_panel_request_model
from epic22.core.lineage import ModelVersion
from epic22.core.models.base import Capabilities
from epic22.core.prediction import Prediction
from epic22.core.task import CellValue


@dataclass(frozen=True)
class PanelModel:
    """The protocol `Model` on a bundle of series. A row of a request names a `series`, its latest `values` and their `last`
    period; both may be absent for a series that is known from training."""

    version: ModelVersion
    bundle: PanelBundle
    kind = KIND
    capabilities = Capabilities(needs_sequences=True)

    @classmethod
    def open(cls, version: ModelVersion, folder: Path) -> "PanelModel":
        """The model in a folder, audited. Raises BundleError."""
        return cls(version, open_panel_bundle(folder))

    @property
    def schema(self) -> PanelSchema:
        """What it was trained to predict."""
        return self.bundle.schema

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
        """None: a forecast decides nothing."""
        return {}

    def describe(self) -> ModelDescription:
        """What is told of its answers."""
        return ModelDescription("quantiles")

    def request_model(self) -> RequestModel:
        """Rows with a series each."""
        return build_panel_request_model(self.schema)

    def example_row(self) -> Mapping[str, CellValue]:
        """A series that is known from training."""
        return {"series": str(self.bundle.history.entity[0])}

    def read_request(self, source: RequestSource | None) -> PredictionRequest:
        """The series of a table from its end on; without one, every series known at training, from its last value on."""
        if source is None:
            return RowsRequest([{"series": str(name)} for name in self.bundle.history.entity])
        latest = source.read_histories(self.schema)
        return RowsRequest(
            [
                {"series": str(name), "values": values, "last": self.schema.periods.start(origin)}
                for name, values, origin in zip(latest.entity, latest.iterate_series(), latest.origin, strict=True)
            ]
        )

    def predict(self, request: PredictionRequest, with_reasons: bool = True) -> tuple[Prediction, ...]:
        """One prediction a series, with its reasons: they cost nothing here. Raises RowError for one that cannot be forecast."""
        columns = (request.column(name) for name in ("series", "values", "last"))
        requests = [
            SeriesRequest(
                series,
                None if values is None else tuple(float("nan") if v is None else float(v) for v in values),
                None if last is None else self._find_period(last),
            )
            for series, values, last in zip(*columns, strict=True)
        ]
        return forecast_series(self.version, self.bundle, requests)

    def _find_period(self, moment: datetime) -> int:
        return int(self.schema.periods.ordinals(pl.Series([moment], dtype=pl.Datetime("us")))[0])

    def list_warnings(self, row: Mapping[str, Any]) -> list[str]:
        """None: what is wrong with a series is refused."""
        return []

    def files(self) -> Mapping[str, bytes]:
        """The forecasters and the series as last known."""
        return model_files(self.bundle)
