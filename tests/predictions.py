"""Predictions of frames and of plain rows, as tests ask for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from epic22.core.artifact.bundle import Bundle
from epic22.core.artifact.prediction_columns import PredictionColumns, compute_columns
from epic22.core.artifact.prediction_request import FrameRequest, RowsRequest
from epic22.core.artifact.row_model import RowModel
from epic22.core.lineage import ModelVersion
from epic22.core.prediction import Prediction


def predict_frame(
    version: ModelVersion, bundle: Bundle, frame: pl.DataFrame, with_reasons: bool = True
) -> tuple[Prediction, ...]:
    """One prediction a row of a frame whose columns have the schema's types."""
    return RowModel(version, bundle).predict(FrameRequest(frame), with_reasons)


def predict_rows(version: ModelVersion, bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> tuple[Prediction, ...]:
    """One prediction a row given as plain values by column name."""
    return RowModel(version, bundle).predict(RowsRequest(rows))


def predict_columns(bundle: Bundle, frame: pl.DataFrame) -> PredictionColumns:
    """The answers to a frame as columns."""
    stake = bundle.schema.stake_column
    stakes = None if stake is None else frame[stake].cast(pl.Float64).to_numpy()
    return compute_columns(bundle, bundle.preprocessor.transform(frame), stakes)
