"""Predictions as a frame: a row for each value that is predicted."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from epic22.bootstrap.frame_file import is_pandas
from epic22.core.artifact.model import Model
from epic22.core.prediction import Prediction


def build_prediction_frame(model: Model, predictions: Sequence[Prediction], table: Any) -> Any:
    """A frame of the library that `table` is of (Polars for a file), with the columns that the task has.

    Columns: entity, at, target, horizon, value, low, high, set, probabilities, expected_loss, act, band, reasons, receipt. A
    frame of pandas has the index of the rows that it answers.
    """
    frame = pl.DataFrame([row for prediction in predictions for row in _list_values(prediction)], infer_schema_length=None)
    known = frame.select(column for column in frame if column.null_count() < len(column))
    if not is_pandas(table):
        return known
    result = known.to_pandas()
    # A prediction of rows has one a row, in their order; one of series has no row of its own.
    if not model.capabilities.needs_sequences:
        result.index = table.index.repeat([len(prediction.values) for prediction in predictions])
    return result


def _list_values(prediction: Prediction) -> Iterator[dict[str, Any]]:
    """A row for each value."""
    for value in prediction.values:
        interval = value.interval
        yield {
            "entity": prediction.entity,
            "at": prediction.at,
            "target": value.target,
            "horizon": value.horizon,
            "value": value.value,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "set": None if value.set is None else list(value.set),
            "probabilities": dict(value.probabilities) or None,
            "expected_loss": value.expected_loss,
            "act": value.act,
            "band": value.risk_band,
            "interval_note": value.interval_note,
            "reasons": [reason.text for reason in prediction.reasons] or None,
            "receipt": prediction.receipt,
        }
