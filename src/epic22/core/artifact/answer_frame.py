"""Answers as a frame, a row for each value that is predicted: what many answers are stored and exported as.

The same answer gives the same row, whether it came as a record or as columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from epic22.core.artifact.bundle import Schema
from epic22.core.artifact.prediction_columns import PredictionColumns
from epic22.core.artifact.row_batch import RowBatch
from epic22.core.artifact.row_reasons import REASON_TYPE, RowReasons
from epic22.core.prediction import PredictedValue, Prediction, Reason
from epic22.core.task import Array

PROBABILITY_TYPE = pl.Struct({"class": pl.String(), "probability": pl.Float64()})
ANSWER_SCHEMA = pl.Schema(
    {
        "entity": pl.String(),
        "at": pl.Datetime("us"),
        "target": pl.String(),
        "horizon": pl.Float64(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "interval_note": pl.String(),
        "class": pl.String(),
        "probabilities": pl.List(PROBABILITY_TYPE),
        "set": pl.List(pl.String()),
        "expected_loss": pl.Float64(),
        "act": pl.Boolean(),
        "band": pl.String(),
        "median_days": pl.Float64(),
        "score": pl.Float64(),
        "reasons": pl.List(REASON_TYPE),
        "receipt": pl.String(),
    }
)
"""The columns of answers. `value` is the probability of the positive class, that of the likeliest of several classes, whose name
is `class`, or the value; what a task has not is null. An answer with several horizons has as many rows, one after another."""


@dataclass(frozen=True)
class AnsweredRows:
    """n rows with their answers as columns, their reasons where they were asked for, and their receipts."""

    batch: RowBatch
    columns: PredictionColumns
    reasons: RowReasons | None
    receipts: Sequence[str]


def build_row_frame(schema: Schema, rows: AnsweredRows) -> pl.DataFrame:
    """The answers of a model of rows."""
    n, columns = len(rows.receipts), rows.columns
    width = len(schema.horizons) if schema.traits.is_time_to_event else 1
    frame = pl.DataFrame(
        {
            "entity": pl.Series(rows.batch.entities, dtype=pl.String),
            "at": pl.Series(rows.batch.at, dtype=pl.Datetime("us")),
            "score": columns.score,
            "median_days": _to_series(columns.median_days, n),
            "reasons": pl.Series([None] * n, dtype=pl.List(REASON_TYPE)) if rows.reasons is None else rows.reasons.build_series(),
            "receipt": pl.Series(rows.receipts, dtype=pl.String),
        }
    )
    values = _build_values(schema, columns, n)
    if width > 1:
        frame = frame[np.repeat(np.arange(n), width)]
    whole = pl.concat([frame, values], how="horizontal").with_columns(target=pl.lit(schema.target))
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in ANSWER_SCHEMA.items() if name not in whole.columns]
    return whole.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in ANSWER_SCHEMA.items())


def _build_values(schema: Schema, columns: PredictionColumns, n: int) -> pl.DataFrame:
    """What each row is answered, at each horizon of a hazard, else at the target's."""
    money = _build_money(columns, n)
    if schema.traits.is_time_to_event:
        horizon = np.tile(schema.horizons, n)
        decides = horizon == schema.horizon
        place = np.cumsum(decides) - 1
        spread = money[np.maximum(place, 0)].with_columns(pl.when(pl.Series(decides)).then(pl.all())) if decides.any() else None
        values = pl.DataFrame({"horizon": horizon, "value": columns.response.ravel()})
        return values if spread is None else pl.concat([values, spread], how="horizontal")
    values = pl.DataFrame({"horizon": pl.Series([schema.horizon] * n, dtype=pl.Float64), **_build_response(schema, columns, n)})
    return pl.concat([values, money], how="horizontal")


def _build_response(schema: Schema, columns: PredictionColumns, n: int) -> dict[str, Any]:
    """The value with what belongs to it: its interval, or the class, all classes' probabilities and the set."""
    content: dict[str, Any] = {"value": columns.response}
    if columns.likeliest_class is not None:
        content["value"] = columns.response[np.arange(n), columns.likeliest_class]
        content["class"] = [schema.classes[code] for code in columns.likeliest_class.tolist()]
        content["probabilities"] = _list_probabilities(schema.classes, columns.response)
    if columns.interval is not None:
        low, high = (_to_series(end, n) for end in columns.interval)
        content |= {"low": low, "high": high.set(low.is_null(), None)}
    if columns.in_set is not None:
        content["set"] = _list_sets(schema.classes, columns.in_set)
    return content


def _list_probabilities(classes: Sequence[str], shares: Array) -> pl.Series:
    flat = pl.DataFrame({"class": list(classes) * len(shares), "probability": shares.ravel()}).to_struct("probabilities")
    return flat.reshape((len(shares), len(classes))).arr.to_list()


def _list_sets(classes: Sequence[str], in_set: Array) -> pl.Series:
    """The names of the classes in each row's set; rows share the few that there are."""
    patterns, codes = np.unique(in_set, axis=0, return_inverse=True)
    names = [[name for name, is_in in zip(classes, row, strict=True) if is_in] for row in patterns]
    return pl.Series("set", names, dtype=pl.List(pl.String))[codes.ravel()]


def _build_money(columns: PredictionColumns, n: int) -> pl.DataFrame:
    """Expected loss, whether to act, and band of each row; null where nothing is known to be at stake."""
    loss = _to_series(columns.expected_loss, n)
    band = None if columns.risk_band is None else columns.risk_band.tolist()
    money = pl.DataFrame(
        {
            "expected_loss": loss,
            "act": pl.Series([None] * n if columns.act is None else columns.act.tolist(), dtype=pl.Boolean),
            "band": pl.Series(band or [None] * n, dtype=pl.String),
        }
    )
    return money.with_columns(pl.when(loss.is_not_null()).then(pl.col("act", "band")))


def _to_series(column: Array | None, n: int) -> pl.Series:
    """The values (n,) of a column; null for NaN, and for all where there is none."""
    return pl.Series([None] * n, dtype=pl.Float64) if column is None else pl.Series(column, dtype=pl.Float64).fill_nan(None)


def find_first_rows(answers: pl.DataFrame) -> Array:
    """Where each answer begins: a model has the same horizons for all."""
    horizons = answers["horizon"]
    first = horizons[0] if answers.height else None
    return np.flatnonzero((horizons.is_null() if first is None else horizons == first).to_numpy())


def build_answer_frame(predictions: Sequence[Prediction]) -> pl.DataFrame:
    """Predictions as a frame, a row for each value (`ANSWER_SCHEMA`)."""
    rows = list(chain.from_iterable(_list_rows(prediction) for prediction in predictions))
    return pl.DataFrame(rows, schema=ANSWER_SCHEMA, orient="row")


def _list_rows(prediction: Prediction) -> list[tuple[Any, ...]]:
    p, reasons = prediction, [_show_reason(reason) for reason in prediction.reasons] or None
    return [(p.entity, p.at, *_show_value(value), p.median_days, p.score.value, reasons, p.receipt) for value in p.values]


def _show_reason(reason: Reason) -> dict[str, Any]:
    return {"column": reason.column, "contribution": reason.contribution, "text": reason.text}


def _show_value(value: PredictedValue) -> tuple[Any, ...]:
    """From the target to the band."""
    name = value.value if isinstance(value.value, str) else None
    shares = dict(value.probabilities)
    return (
        value.target,
        value.horizon,
        shares[name] if name is not None else value.value,
        None if value.interval is None else value.interval.low,
        None if value.interval is None else value.interval.high,
        value.interval_note,
        name,
        [{"class": one, "probability": share} for one, share in value.probabilities] or None,
        None if value.set is None else list(value.set),
        value.expected_loss,
        value.act,
        value.risk_band,
    )
