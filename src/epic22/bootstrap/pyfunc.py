"""What MLflow loads for a model of ours: `mlflow.pyfunc.load_model("models:/TASK@champion").predict(frame)`.

The `MLmodel` beside a bundle names this module. The bundle is audited and opened as the API opens it; nothing is unpickled. Its
answers are not kept in the log of predictions, which belongs to a home: a model that MLflow loads may stand anywhere.
"""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from epic22.adapters.tracking.mlflow_model import BUNDLE, VERSION_FILE
from epic22.bootstrap.frame_file import is_pandas, write_frame
from epic22.bootstrap.prediction_frame import build_prediction_frame
from epic22.bootstrap.predictions import RequestFile
from epic22.core.artifact.model import Model
from epic22.core.artifact.openers import open_model
from epic22.core.artifact.prediction_request import PredictionRequest, RowsRequest
from epic22.core.errors import BundleError, RowError, UserError
from epic22.core.lineage import ModelVersion

REQUEST_COLUMNS = {"series", "values", "last"}
"""What a request for series may name, as the API takes it."""


@dataclass(frozen=True)
class PyfuncModel:
    """A model as MLflow calls it."""

    model: Model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A frame with a row for each value that is predicted, and what the API answers: interval, probabilities, receipt.

        For a forecast the frame is a panel laid out as the one that was trained on, or has the columns of the API's request, of
        which `series` alone suffices. Raises UserError for what cannot be answered.
        """
        if params:
            raise UserError(f"{self.model.name} takes no params; leave them out.")
        predictions = self.model.predict(_read_request(self.model, model_input), with_reasons=False)
        return build_prediction_frame(self.model, predictions, model_input)


def _load_pyfunc(path: str) -> PyfuncModel:
    """The model in a folder that MLflow brought here. Raises BundleError for what is damaged or not ours."""
    folder = Path(path)
    return PyfuncModel(open_model(_read_version(folder / VERSION_FILE), folder / BUNDLE))


def _read_version(path: Path) -> ModelVersion:
    try:
        facts = json.loads(path.read_bytes())
        return ModelVersion(**{str(name): str(value) for name, value in facts.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        raise BundleError(f"{path} does not say which version the model is; it was altered, or is not ours.") from None


def _read_request(model: Model, table: Any) -> PredictionRequest:
    """The request in a frame. Raises UserError for what is none."""
    if not (is_pandas(table) or isinstance(table, pl.DataFrame)):
        raise UserError(f"{model.name} was asked with {type(table).__name__}; give a frame of pandas or Polars.")
    if not len(table):
        raise UserError("the frame has no rows; there is nothing to predict.")
    if model.capabilities.needs_sequences and "series" in table.columns and set(table.columns) <= REQUEST_COLUMNS:
        return _read_series(model, pl.from_pandas(table) if is_pandas(table) else table)
    with tempfile.TemporaryDirectory(prefix="epic22-") as folder:
        path = Path(folder) / "frame.parquet"
        path.write_bytes(write_frame(table))
        return model.read_request(RequestFile(path))


def _read_series(model: Model, frame: pl.DataFrame) -> PredictionRequest:
    """The series that are named, as the API's request names them. Raises RowError for what it would refuse."""
    row_model, rows = model.request_model().row, []
    for number, row in enumerate(frame.to_dicts(), start=1):
        named = {name: value for name, value in row.items() if value is not None}
        if isinstance(named.get("last"), datetime):
            named["last"] = named["last"].isoformat()
        try:
            rows.append(row_model.model_validate(named).model_dump())
        except ValidationError as error:
            fault = error.errors()[0]
            raise RowError(f"row {number}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None
    return RowsRequest(rows)
